// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/maitred-lb/maitred/checkers"
)

const (
	pass     = checkers.OutcomePass
	degraded = checkers.OutcomeDegraded
	failed   = checkers.OutcomeFail
	none     = checkers.ClassNone
)

// mariadbInit makes a user and a table. A statement is a line.
const mariadbInit = `CREATE USER 'probe'@'%' IDENTIFIED BY 'right';
GRANT ALL ON *.* TO 'probe'@'%';
CREATE DATABASE shop;
CREATE TABLE shop.orders (n INT, v VARCHAR(20));
INSERT INTO shop.orders VALUES (42, 'fine');
`

// TestMariaDB checks a MariaDB that is the only node of a Galera cluster.
func TestMariaDB(t *testing.T) {
	id := newIdentity(t, time.Now().Add(time.Hour), "db.example")
	server := startMariaDB(t, id)
	right, wrong := writeFile(t, "right", "right\n"), writeFile(t, "wrong", "wrong\n")
	login := func(more m) m {
		all := m{"user": "probe", "password_file": right}
		for key, value := range more {
			all[key] = value
		}
		return all
	}
	for _, test := range []serverTest{
		{"greeting", nil, pass, none, "greeted by 5.5.5-10.*-MariaDB*"},
		{"greeting in TLS", m{"tls": true, "sni": "db.example", "ca_file": id.certFile}, pass, none, "greeted by *"},
		{"greeting, another name", m{"tls": true, "sni": "no.example", "ca_file": id.certFile}, failed, checkers.ClassTLS, "tls: failed to verify certificate: *"},
		{"login", login(nil), pass, none, "logged in"},
		{"login in TLS", login(m{"tls": true, "sni": "db.example", "ca_file": id.certFile}), pass, none, "logged in"},
		{"certificate ends soon", login(m{"tls": true, "sni": "db.example", "ca_file": id.certFile, "expires_within": "2h"}), degraded, none, "logged in, but its certificate ends on *"},
		{"unknown authority", login(m{"tls": true, "sni": "db.example"}), failed, checkers.ClassTLS, "tls: failed to verify certificate: x509: certificate signed by unknown authority (name its authority in ca_file, or set verify: false)"},
		{"wrong password", m{"user": "probe", "password_file": wrong}, failed, checkers.ClassStatus, "no login: error 1045: Access denied for user 'probe'@*"},
		{"database", login(m{"database": "shop"}), pass, none, "logged in"},
		{"no such database", login(m{"database": "shoe"}), failed, checkers.ClassStatus, "no login: error 1049: Unknown database 'shoe'"},
		{"query", login(m{"query": "SELECT n FROM shop.orders", "expect": m{"min": 42, "max": 42}}), pass, none, "logged in, the query passes"},
		{"query of text", login(m{"query": "SELECT v FROM shop.orders", "expect": m{"match": "^fine$"}}), pass, none, "logged in, the query passes"},
		{"number too small", login(m{"query": "SELECT n FROM shop.orders", "expect": m{"min": 43}}), failed, checkers.ClassContent, "the query returns 42, wanted at least 43"},
		{"number too great", login(m{"query": "SELECT n + 0.5 FROM shop.orders", "expect": m{"max": 42}}), failed, checkers.ClassContent, "the query returns 42.5, wanted at most 42"},
		{"no number", login(m{"query": "SELECT v FROM shop.orders", "expect": m{"max": 42}}), failed, checkers.ClassContent, `the query returns "fine", which is not a number`},
		{"other text", login(m{"query": "SELECT v FROM shop.orders", "expect": m{"match": "^ok$"}}), failed, checkers.ClassContent, `the query returns "fine", which does not match "^ok$"`},
		{"no row", login(m{"query": "SELECT v FROM shop.orders WHERE n = 1"}), failed, checkers.ClassContent, "the query returns no row"},
		{"NULL", login(m{"query": "SELECT NULL"}), failed, checkers.ClassContent, "the query returns NULL"},
		{"bad query", login(m{"query": "SELECT v FROM shop.none"}), failed, checkers.ClassStatus, "no answer to a query: error 1146: Table 'shop.none' doesn't exist"},
		{"slow query", login(m{"query": "SELECT SLEEP(5)"}), failed, checkers.ClassStalled, "connected, but no answer to a query within *"},
		{"endless answer", login(m{"query": "SELECT REPEAT('x', 3000000)"}), failed, checkers.ClassProtocol, "the server sends more than 1048576 bytes"},
		{"writable", login(m{"read_only": false}), pass, none, "logged in, read_only is false"},
		{"read_only wanted", login(m{"read_only": true}), failed, checkers.ClassStatus, "read_only is false, wanted true"},
		{"no replica", login(m{"max_lag": "5s"}), pass, none, "logged in"},
		{"Galera", login(m{"galera": "synced"}), pass, none, "logged in, the node is Synced"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "mysql", server) })
	}
	t.Run("changes", func(t *testing.T) { mariadbChanges(t, server, login) })
	t.Run("strangers", func(t *testing.T) { mariadbStrangers(t, server) })
}

// mariadbChanges turns the server into what is not wanted, and back.
func mariadbChanges(t *testing.T, server netip.AddrPort, login func(m) m) {
	for _, change := range []struct {
		do, undo string
		tests    []serverTest
	}{
		{"SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0", []serverTest{
			{"read-only", login(m{"read_only": true}), pass, none, "logged in, read_only is true"},
			{"writable wanted", login(m{"read_only": false}), failed, checkers.ClassStatus, "read_only is true, wanted false"},
		}},
		{"SET GLOBAL wsrep_desync = 1", "SET GLOBAL wsrep_desync = 0", []serverTest{
			{"donor", login(m{"galera": "synced"}), failed, checkers.ClassStatus, "wsrep_local_state is 2 (Donor/Desynced), wanted 4 (Synced)"},
			{"donor wanted", login(m{"galera": "donor"}), pass, none, "logged in, the node is Donor/Desynced"},
		}},
		{"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1", "RESET SLAVE ALL", []serverTest{
			{"stopped replica", login(m{"max_lag": "5s"}), failed, checkers.ClassStatus, "replication does not run: see SHOW REPLICA STATUS"},
		}},
		{"SET GLOBAL wsrep_cluster_address = ''", "SET SESSION wsrep_on = OFF", []serverTest{
			{"without a cluster", login(m{"galera": "donor"}), failed, checkers.ClassStatus, "wsrep_ready is OFF, wanted ON"},
		}},
	} {
		mariadbDo(t, server, change.do)
		for _, test := range change.tests {
			t.Run(test.name, func(t *testing.T) { test.run(t, "mariadb", server) })
		}
		mariadbDo(t, server, change.undo)
	}
}

// mariadbStrangers proves that checks without a user never get the director
// blocked, however few errors the server forgives; and that one who is blocked
// hears of it. The server looks for names at addresses other than 127.0.0.1.
func mariadbStrangers(t *testing.T, server netip.AddrPort) {
	from := func(source string) *mysqlCheck {
		checker := must(t, "mysql", nil).(*mysqlCheck)
		checker.dial = Dialer{Source: netip.MustParseAddr(source)}.Dial
		return checker
	}
	polite := from("127.0.0.77")
	for range 10 {
		wantAnswer(t, checkFor(t, 10*time.Second, polite, server), pass, none, "mysql "+server.String()+": greeted by *")
	}
	rude := from("127.0.0.78")
	for range 10 {
		conn, err := rude.dial(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 4))
		_, _ = conn.Write([]byte{1, 0, 0, 1, 1})
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
	wantAnswer(t, checkFor(t, 10*time.Second, rude, server), failed, checkers.ClassStatus,
		"mysql "+server.String()+": error 1129: Host '127.0.0.78' is blocked because of many connection errors; *")
}

func mariadbDo(t *testing.T, server netip.AddrPort, statement string) {
	t.Helper()
	client := findProgram(t, "mariadb-client", "mariadb")
	runTool(t, exec.Command(client, "--no-defaults", "-h127.0.0.1", "-P"+portOf(server), "-uprobe", "-pright", "-e", statement))
}

func portOf(target netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(target.String())
	return port
}

// startMariaDB runs a MariaDB until the test ends.
func startMariaDB(t *testing.T, id identity) netip.AddrPort {
	t.Helper()
	const pkg = "mariadb-server"
	install, server := findProgram(t, pkg, "mariadb-install-db"), findProgram(t, pkg, "mariadbd")
	dir, target, cluster := t.TempDir(), freePort(t), freePort(t)
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	runTool(t, exec.Command(install, "--no-defaults", "--datadir="+data, "--user="+who.Username,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M"))
	init := filepath.Join(dir, "init.sql")
	if err := os.WriteFile(init, []byte(mariadbInit), 0o600); err != nil {
		t.Fatal(err)
	}
	runServer(t, exec.Command(server, "--no-defaults", "--user="+who.Username, "--datadir="+data, "--socket="+filepath.Join(dir, "s"),
		"--pid-file="+filepath.Join(dir, "pid"), "--bind-address=127.0.0.1", "--port="+portOf(target),
		"--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0",
		"--max-connect-errors=3", "--init-file="+init, "--ssl-cert="+id.certFile, "--ssl-key="+id.keyFile,
		"--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--wsrep-cluster-address=gcomm://",
		"--wsrep-node-address=127.0.0.1", "--binlog-format=ROW",
		"--wsrep-provider-options=gmcast.listen_addr=tcp://"+cluster.String()+";gcache.size=1M"),
		passes(t, target, "mysql", m{"user": "probe", "password_file": writeFile(t, "right", "right\n")}))
	return target
}

func TestMySQLSick(t *testing.T) {
	t.Run("greeting", func(t *testing.T) { testSick(t, "mysql", nil) })
	t.Run("login", func(t *testing.T) {
		testSick(t, "mysql", m{"user": "probe", "password_file": writeFile(t, "p", "right")})
	})
	for _, test := range []struct {
		name, says string
		class      checkers.Class
		message    string
	}{
		{"too many connections", "\x17\x00\x00\x00\xff\x10\x04Too many connections", checkers.ClassStatus, "error 1040: Too many connections"},
		{"another protocol", "220 mail.example ESMTP\r\n", checkers.ClassProtocol, "the server does not speak MySQL: *"},
		{"an older protocol", "\x03\x00\x00\x00\x093.", checkers.ClassProtocol, "the server's greeting is not one of MySQL"},
		{"half a greeting", "\x30\x00\x00\x00\x0a8.0", checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, test.says) })
			wantAnswer(t, checkFor(t, 10*time.Second, must(t, "mysql", nil), server), failed, test.class, "mysql "+server.String()+": "+test.message)
		})
	}
}

// TestMySQLLag judges what replicas say of themselves.
func TestMySQLLag(t *testing.T) {
	value := func(text string) *string { return &text }
	replica := func(columns []string, lags ...*string) asker {
		return func(string) (rowset, error) {
			r := rowset{columns: columns}
			for _, lag := range lags {
				r.rows = append(r.rows, []*string{value("x"), lag})
			}
			return r, nil
		}
	}
	newer, older := []string{"State", "Seconds_Behind_Source"}, []string{"State", "Seconds_Behind_Master"}
	oldServer := func(query string) (rowset, error) {
		if query != "SHOW SLAVE STATUS" {
			return rowset{}, &mysql.MySQLError{Number: 1064}
		}
		return replica(older, value("3"))(query)
	}
	for _, test := range []struct {
		name  string
		ask   asker
		want  time.Duration
		wrong string
	}{
		{"no replica", replica(newer), 0, ""},
		{"replica", replica(newer, value("7")), 7 * time.Second, ""},
		{"of MariaDB", replica(older, value("7")), 7 * time.Second, ""},
		{"of several sources", replica(older, value("7"), value("9"), value("0")), 9 * time.Second, ""},
		{"that knows the older command", oldServer, 3 * time.Second, ""},
		{"stopped", replica(newer, nil), 0, "replication does not run: see SHOW REPLICA STATUS"},
		{"one of several stopped", replica(newer, value("1"), nil), 0, "replication does not run: see SHOW REPLICA STATUS"},
		{"nonsense", replica(newer, value("soon")), 0, `the server's lag is "soon", which is not a number`},
		{"may not ask", func(string) (rowset, error) { return rowset{}, errors.New("denied") }, 0, "denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mysqlLag(test.ask)
			if got != test.want && err == nil || errorText(err) != test.wrong && !(err == nil && test.wrong == "") {
				t.Errorf("got %v, %v; want %v, %q", got, err, test.want, test.wrong)
			}
		})
	}
}

func TestLagLimit(t *testing.T) {
	a := newAttempt(t.Context(), "db")
	for _, test := range []struct {
		name    string
		limit   lagLimit
		lag     time.Duration
		outcome checkers.Outcome
		message string
	}{
		{"no limit", lagLimit{}, time.Hour, pass, "db: up"},
		{"below", lagLimit{most: time.Second}, time.Second, pass, "db: up"},
		{"above", lagLimit{most: time.Second}, 2 * time.Second, degraded, "db: up, but 2s behind, wanted 1s at most"},
		{"above, fails", lagLimit{time.Second, true}, 2 * time.Second, failed, "db: up, but 2s behind, wanted 1s at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.limit.judge(a, test.lag, "up"); got.Outcome != test.outcome || got.Message != test.message {
				t.Errorf("got %s %q", got.Outcome, got.Message)
			}
		})
	}
}

func TestDatabaseOptionMistakes(t *testing.T) {
	empty := writeFile(t, "empty", "\n")
	for _, test := range []mistakeTest{
		{"password without user", "mysql", m{"password_file": writeFile(t, "p", "x")}, []string{"password_file: has no effect without user: give one, or remove it"}},
		{"no password", "mysql", m{"user": "a", "password_file": empty}, []string{"password_file: " + empty + " holds no password: one line of 1 to 4096 bytes is right"}},
		{"no such file", "mysql", m{"user": "a", "password_file": "/no/such"}, []string{"password_file: open /no/such: no such file or directory"}},
		{"query without user", "mysql", m{"query": "SELECT 1", "read_only": true}, []string{"query: needs a login: give user", "read_only: needs a login: give user"}},
		{"expect without query", "mysql", m{"user": "a", "expect": m{"min": 1}}, []string{"expect: has no effect without query: give one, or remove it"}},
		{"min above max", "mysql", m{"user": "a", "query": "SELECT 1", "expect": m{"min": 2, "max": 1}}, []string{"expect.min: 2 is greater than max, which is 1"}},
		{"on_lag alone", "mysql", m{"user": "a", "on_lag": "fail"}, []string{"on_lag: has no effect without max_lag: give it, or remove this one"}},
		{"galera", "mysql", m{"user": "a", "galera": "yes"}, []string{`galera: "yes" is none of synced, donor`}},
	} {
		t.Run(test.name, test.run)
	}
}
