// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// cluster makes and runs PostgreSQL servers, which refuse to run as root.
type cluster struct {
	dir      string
	server   string // the program
	as       *syscall.SysProcAttr
	password string // file
}

// TestPostgres checks a primary, and replicas of it.
func TestPostgres(t *testing.T) {
	c := newCluster(t)
	id := newIdentity(t, time.Now().Add(time.Hour), "db.example")
	c.run(t, "initdb", "-D", c.dir+"/primary", "-U", "probe", "-A", "scram-sha-256", "--pwfile", c.password, "-N", "-E", "UTF8", "--locale=C")
	for from, to := range map[string]string{id.certFile: "primary/server.crt", id.keyFile: "primary/server.key"} {
		c.place(t, from, to)
	}
	primary := freePort(t)
	login := func(more m) m {
		all := m{"user": "probe", "password_file": c.password, "database": "postgres"}
		for key, value := range more {
			all[key] = value
		}
		return all
	}
	c.start(t, "primary", primary, passes(t, primary, "postgres", login(nil)), "-c", "ssl=on")
	c.query(t, primary, "CREATE TABLE orders (n int, v text); INSERT INTO orders VALUES (42, 'fine')")
	wrong := writeFile(t, "wrong", "wrong")
	inTLS := m{"tls": true, "sni": "db.example", "ca_file": id.certFile}
	for _, test := range []serverTest{
		{"stranger", nil, pass, none, "the server takes logins"},
		{"stranger in TLS", inTLS, pass, none, "the server takes logins"},
		{"stranger, another name", m{"tls": true, "sni": "no.example", "ca_file": id.certFile}, failed, checkers.ClassTLS, "tls: failed to verify certificate: *"},
		{"login", login(nil), pass, none, "logged in"},
		{"login in TLS", login(inTLS), pass, none, "logged in"},
		{"certificate ends soon", login(m{"tls": true, "sni": "db.example", "ca_file": id.certFile, "expires_within": "2h"}), degraded, none, "logged in, but its certificate ends on *"},
		{"unknown authority", login(m{"tls": true, "sni": "db.example"}), failed, checkers.ClassTLS, "tls: failed to verify certificate: x509: certificate signed by unknown authority (name its authority in ca_file, or set verify: false)"},
		{"wrong password", m{"user": "probe", "password_file": wrong}, failed, checkers.ClassStatus, `no login: password authentication failed for user "probe" (28P01)`},
		{"no such database", login(m{"database": "shoe"}), failed, checkers.ClassStatus, `no login: database "shoe" does not exist (3D000)`},
		{"query", login(m{"query": "SELECT n FROM orders", "expect": m{"min": 42, "max": 42}}), pass, none, "logged in, the query passes"},
		{"query of text", login(m{"query": "SELECT v FROM orders", "expect": m{"match": "^fine$"}}), pass, none, "logged in, the query passes"},
		{"not a number", login(m{"query": "SELECT 'NaN'::float", "expect": m{"min": 1}}), failed, checkers.ClassContent, "the query returns NaN, wanted at least 1"},
		{"number too small", login(m{"query": "SELECT n FROM orders", "expect": m{"min": 43}}), failed, checkers.ClassContent, "the query returns 42, wanted at least 43"},
		{"no row", login(m{"query": "SELECT v FROM orders WHERE n = 1"}), failed, checkers.ClassContent, "the query returns no row"},
		{"NULL", login(m{"query": "SELECT NULL"}), failed, checkers.ClassContent, "the query returns NULL"},
		{"many rows", login(m{"query": "SELECT generate_series(1, 1000)", "expect": m{"max": 1}}), pass, none, "logged in, the query passes"},
		{"bad query", login(m{"query": "SELECT v FROM nothing"}), failed, checkers.ClassStatus, `no answer to a query: relation "nothing" does not exist (42P01)`},
		{"query that wants data", login(m{"query": "COPY orders FROM STDIN"}), failed, checkers.ClassContent, "the query asks for data: one that returns a value is right"},
		{"slow query", login(m{"query": "SELECT pg_sleep(5)"}), failed, checkers.ClassStalled, "connected, but no answer to a query within *"},
		{"long answer", login(m{"query": "SELECT repeat('x', 3000000)"}), failed, checkers.ClassProtocol, "the server does not speak PostgreSQL: *"},
		{"endless answer", login(m{"query": "SELECT repeat('x', 1000) FROM generate_series(1, 10000)"}), failed, checkers.ClassProtocol, "the server sends more than 1048576 bytes"},
		{"primary", login(m{"in_recovery": false, "max_lag": "5s"}), pass, none, "logged in, in recovery: false"},
		{"replica wanted", login(m{"in_recovery": true}), failed, checkers.ClassStatus, "pg_is_in_recovery() is false, wanted true"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "postgres", primary) })
	}
	c.run(t, "pg_basebackup", "-D", c.dir+"/replica", "-d", c.url(primary), "-R", "-c", "fast")
	t.Run("replica", func(t *testing.T) { c.replica(t, primary, login) })
}

// replica checks one as it starts, follows, falls behind and loses its primary.
func (c *cluster) replica(t *testing.T, primary netip.AddrPort, login func(m) m) {
	const starting = "the database system is not accepting connections (57P03)"
	t.Run("that takes nobody", func(t *testing.T) {
		replica := freePort(t)
		c.start(t, "replica", replica, answers(replica), "-c", "hot_standby=off")
		// Whoever comes within the first moments hears that it is starting up.
		wait(t, func() error {
			if r := checkFor(t, 5*time.Second, must(t, "postgres", nil), replica); !strings.HasSuffix(r.Message, starting) {
				return errors.New(r.Message)
			}
			return nil
		})
		serverTest{"", nil, failed, checkers.ClassStatus, starting}.run(t, "postgres", replica)
		serverTest{"", login(nil), failed, checkers.ClassStatus, "no login: " + starting}.run(t, "postgres", replica)
	})
	replica := freePort(t)
	follows := login(m{"in_recovery": true, "max_lag": "1s"})
	c.start(t, "replica", replica, passes(t, replica, "postgres", follows))
	serverTest{"", follows, pass, none, "logged in, in recovery: true"}.run(t, "postgres", replica)
	serverTest{"", login(m{"in_recovery": false}), failed, checkers.ClassStatus, "pg_is_in_recovery() is true, wanted false"}.run(t, "postgres", replica)

	c.query(t, replica, "SELECT pg_wal_replay_pause()")
	c.query(t, primary, "INSERT INTO orders VALUES (43, 'late')")
	wait(t, func() error {
		if r := checkFor(t, 5*time.Second, must(t, "postgres", follows), replica); r.Outcome != degraded {
			return errors.New(r.Message)
		}
		return nil
	})
	serverTest{"", follows, degraded, none, "logged in, in recovery: true, but *s behind, wanted 1s at most"}.run(t, "postgres", replica)
	serverTest{"", login(m{"max_lag": "1s", "on_lag": "fail"}), failed, checkers.ClassStatus, "logged in, but *s behind, wanted 1s at most"}.run(t, "postgres", replica)

	c.query(t, primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
	c.query(t, replica, "ALTER SYSTEM SET primary_conninfo = ''")
	c.query(t, replica, "SELECT pg_reload_conf()")
	wait(t, func() error {
		if r := checkFor(t, 5*time.Second, must(t, "postgres", follows), replica); r.Outcome != failed {
			return errors.New(r.Message)
		}
		return nil
	})
	serverTest{"", follows, failed, checkers.ClassStatus, "replication does not run: *"}.run(t, "postgres", replica)
}

// wait waits until a condition holds.
func wait(t *testing.T, holds func() error) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{server: findProgram(t, "postgresql", "postgres", "/usr/lib/postgresql/*/bin"), as: &syscall.SysProcAttr{}}
	if real, err := filepath.EvalSymlinks(c.server); err == nil {
		c.server = real
	}
	dir, err := os.MkdirTemp("", "maitred-postgres-") // t.TempDir is for its owner alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c.dir, c.password = dir, filepath.Join(dir, "password")
	if err := os.WriteFile(c.password, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		c.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	c.own(t, dir, c.password)
	return c
}

// own gives files to the user that the servers run as.
func (c *cluster) own(t *testing.T, files ...string) {
	t.Helper()
	if c.as.Credential == nil {
		return
	}
	for _, file := range files {
		if err := os.Chown(file, int(c.as.Credential.Uid), int(c.as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// place copies a file into the cluster's folder.
func (c *cluster) place(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to = filepath.Join(c.dir, to)
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c.own(t, to)
}

func (c *cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(filepath.Dir(c.server), program), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as.Credential}
	cmd.Env = append(os.Environ(), "PGPASSWORD=right")
	return cmd
}

func (c *cluster) run(t *testing.T, program string, args ...string) {
	t.Helper()
	runTool(t, c.command(program, args...))
}

func (c *cluster) url(target netip.AddrPort) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=probe password=right dbname=postgres sslmode=disable", target.Port())
}

func (c *cluster) query(t *testing.T, target netip.AddrPort, statement string) {
	t.Helper()
	c.run(t, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", c.url(target), "-c", statement)
}

// start runs a server until the test ends.
func (c *cluster) start(t *testing.T, data string, target netip.AddrPort, ready func() error, more ...string) {
	t.Helper()
	args := []string{
		"-D", filepath.Join(c.dir, data), "-h", "127.0.0.1", "-p", portOf(target), "-k", "", "-F",
		"-c", "shared_buffers=16MB", "-c", "wal_level=replica", "-c", "max_wal_senders=4", "-c", "wal_retrieve_retry_interval=100ms",
	}
	server := c.command("postgres", append(args, more...)...)
	runServerUntil(t, server, syscall.SIGINT, ready) // SIGTERM waits for its clients
}

func TestPostgresSick(t *testing.T) {
	t.Run("stranger", func(t *testing.T) { testSick(t, "postgres", nil) })
	t.Run("login", func(t *testing.T) {
		testSick(t, "postgres", m{"user": "probe", "password_file": writeFile(t, "p", "right")})
	})
	refusal := func(code, text string) string {
		fields := "SFATAL\x00VFATAL\x00C" + code + "\x00M" + text + "\x00\x00"
		return "E\x00\x00\x00" + string(rune(len(fields)+4)) + fields
	}
	for _, test := range []struct {
		name, says string
		outcome    checkers.Outcome
		class      checkers.Class
		message    string
	}{
		{"starting", refusal("57P03", "the database system is starting up"), failed, checkers.ClassStatus, "the database system is starting up (57P03)"},
		{"too many clients", refusal("53300", "sorry, too many clients already"), failed, checkers.ClassStatus, "sorry, too many clients already (53300)"},
		{"no entry for us", refusal("28000", "no pg_hba.conf entry"), pass, none, "the server takes logins"},
		{"another protocol", "220 mail.example ESMTP\r\n", failed, checkers.ClassProtocol, "the server does not speak PostgreSQL: *"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 100))
				_, _ = io.WriteString(conn, test.says)
			})
			serverTest{"", nil, test.outcome, test.class, test.message}.run(t, "postgres", server)
		})
	}
	for _, options := range []m{{"tls": true}, {"tls": true, "user": "probe", "password_file": writeFile(t, "p", "right")}} {
		t.Run(fmt.Sprintf("no TLS, %d options", len(options)), func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 8))
				_, _ = io.WriteString(conn, "N")
				_, _ = io.Copy(io.Discard, conn)
			})
			serverTest{"", options, failed, checkers.ClassTLS, "the server does not speak TLS"}.run(t, "postgres", server)
		})
	}
}
