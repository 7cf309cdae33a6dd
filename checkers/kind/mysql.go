// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/maitred-lb/maitred/checkers"
)

// mysqlCheck passes when a MySQL or MariaDB server takes the login and is in the
// state that is wanted. Without a user it greets: see mysql_greet.go.
type mysqlCheck struct {
	talker
	config   *mysql.Config
	question question
	readOnly wish
	lag      lagLimit
	galera   string // empty: not asked; synced or donor
}

func mysqlOptions() []Option {
	all := append(loginOptions(), Option{Name: "database", Form: FormText, Doc: "The database to use."})
	all = append(all, questionOptions()...)
	all = append(all, Option{Name: "read_only", Form: FormFlag, Doc: "What the server's variable read_only has to be; without this it may be either."})
	all = append(all, lagOptions()...)
	all = append(all, Option{
		Name: "galera", Form: FormText, Values: []string{"synced", "donor"},
		Doc: "synced: the server has to be a ready node of a Galera cluster that is synced; donor: it may also be one that feeds another.",
	})
	return append(all, inTLS()...)
}

func newMySQL(env Env, o *options) checkers.Checker {
	m := &mysqlCheck{
		talker:   talker{env.Dialer.Dial, readTLSFlag(o, "")},
		config:   mysql.NewConfig(),
		question: readQuestion(o),
		readOnly: readWish(o, "read_only"),
		lag:      readLag(o),
		galera:   o.choice("galera", "", "synced", "donor"),
	}
	m.config.User, m.config.Passwd = o.login()
	m.config.DBName = o.text("database", "")
	m.config.Net = "tcp"
	m.config.MaxAllowedPacket = maxTalk // or else the driver asks for it
	m.config.Logger = &mysql.NopLogger{}
	o.unprivileged(m.config.User, "database", "query", "read_only", "max_lag", "galera")
	return m
}

// Check implements Checker.
func (m *mysqlCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "mysql "+target.String())
	if m.config.User == "" {
		return talker{dial: m.dial}.with(ctx, a, target, m.greet)
	}
	conn, err := m.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	a.step("connected")
	return sturdy(a, "MySQL", func() checkers.Result {
		return m.login(ctx, a, target, &capped{Conn: conn, left: maxTalk})
	})
}

// login logs in over a connection and judges what the server says then.
func (m *mysqlCheck) login(ctx context.Context, a attempt, target netip.AddrPort, link *capped) checkers.Result {
	config, state := m.config.Clone(), tls.ConnectionState{}
	config.Addr = target.String()
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return link, nil }
	if m.secure != nil {
		config.TLS = m.secure.witness(a, target, &state)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return a.local(err)
	}
	session, err := connector.Connect(ctx)
	if err != nil {
		return mysqlLost(ctx, a, link, err, "no login")
	}
	defer func() { _ = session.Close() }()
	a.step("logged in as %s", m.config.User)
	result, err := m.judge(a, func(query string) (rowset, error) {
		return mysqlAsk(ctx, session, query)
	})
	if err != nil {
		return mysqlLost(ctx, a, link, err, "no answer to a query")
	}
	return m.secure.watch(result, state)
}

// judge asks all that the options want to know. The lag comes last: only it can
// make a server degraded.
func (m *mysqlCheck) judge(a attempt, ask asker) (result checkers.Result, err error) {
	said := "logged in"
	if m.galera != "" {
		node, err := galeraState(ask, m.galera == "donor")
		if err != nil {
			return result, err
		}
		said = join(said, node)
	}
	if m.readOnly.wanted {
		answer, err := question{query: "SELECT @@global.read_only"}.put(ask)
		if err == nil {
			err = m.readOnly.judge("read_only", answer != "0" && answer != "OFF")
		}
		if err != nil {
			return result, err
		}
		said = join(said, fmt.Sprintf("read_only is %v", m.readOnly.value))
	}
	if m.question.query != "" {
		value, err := m.question.put(ask)
		if err != nil {
			return result, err
		}
		a.step("the query returns %q", value)
		said = join(said, "the query passes")
	}
	if m.lag.most == 0 {
		return a.pass("%s", said), nil
	}
	lag, err := mysqlLag(ask)
	if err != nil {
		return result, err
	}
	a.step("%v behind", lag)
	return m.lag.judge(a, lag, said), nil
}

// mysqlLag is how far a replica is behind: of several sources the worst.
func mysqlLag(ask asker) (worst time.Duration, err error) {
	const unknownCommand = 1064 // MySQL before 8.0.22 and MariaDB before 10.5.1 call it by the older name
	answer, err := ask("SHOW REPLICA STATUS")
	if refused := new(mysql.MySQLError); errors.As(err, &refused) && refused.Number == unknownCommand {
		answer, err = ask("SHOW SLAVE STATUS")
	}
	for row := range answer.rows {
		seconds := answer.value(row, "Seconds_Behind_Source", "Seconds_Behind_Master")
		if seconds == nil {
			return 0, found(checkers.ClassStatus, "replication does not run: see SHOW REPLICA STATUS")
		}
		n, err := strconv.Atoi(*seconds)
		if err != nil {
			return 0, found(checkers.ClassProtocol, "the server's lag is %q, which is not a number", checkers.Clip(*seconds, 40))
		}
		worst = max(worst, time.Duration(n)*time.Second)
	}
	return worst, err
}

// galeraState tells what a node of a Galera cluster is, if that is good enough
// (wsrep_local_state of the Galera documentation, "Node State Changes").
func galeraState(ask asker, donorToo bool) (string, error) {
	const donor, synced = "2", "4"
	answer, err := ask("SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state', 'wsrep_local_state_comment')")
	if err != nil {
		return "", err
	}
	status := map[string]string{}
	for _, row := range answer.rows {
		if len(row) == 2 && row[0] != nil && row[1] != nil {
			status[strings.ToLower(*row[0])] = *row[1]
		}
	}
	ready, is := status["wsrep_ready"]
	state, comment := status["wsrep_local_state"], checkers.Clip(status["wsrep_local_state_comment"], 40)
	switch {
	case !is:
		return "", found(checkers.ClassStatus, "the server is no node of a Galera cluster: it has no wsrep_ready")
	case ready != "ON":
		return "", found(checkers.ClassStatus, "wsrep_ready is %s, wanted ON", checkers.Clip(ready, 40))
	case state == synced, state == donor && donorToo:
		return "the node is " + comment, nil
	}
	return "", found(checkers.ClassStatus, "wsrep_local_state is %s (%s), wanted %s (Synced)", checkers.Clip(state, 40), comment, synced)
}

// mysqlAsk puts a query and reads the first rows of the answer.
func mysqlAsk(ctx context.Context, session driver.Conn, query string) (answer rowset, err error) {
	asks, ok := session.(driver.QueryerContext)
	if !ok {
		return answer, errors.New("the driver puts no queries")
	}
	rows, err := asks.QueryContext(ctx, query, nil)
	if err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	answer.columns = rows.Columns()
	values := make([]driver.Value, len(answer.columns))
	for len(answer.rows) < maxRows {
		if err := rows.Next(values); err != nil {
			if errors.Is(err, io.EOF) {
				return answer, nil
			}
			return answer, err
		}
		row := make([]*string, len(values))
		for i, value := range values {
			switch value := value.(type) {
			case nil:
			case []byte:
				row[i] = new(string(bytes.Clone(value)))
			default:
				row[i] = new(fmt.Sprint(value))
			}
		}
		answer.rows = append(answer.rows, row)
	}
	return answer, nil
}

// mysqlLost is the result of a run that an error ended.
func mysqlLost(ctx context.Context, a attempt, link *capped, err error, missing string) checkers.Result {
	var (
		refused *mysql.MySQLError
		wrong   finding
	)
	switch {
	case errors.As(err, &wrong):
		return a.fail(wrong.class, "%s", wrong.text)
	case errors.As(err, &refused):
		return a.fail(checkers.ClassStatus, "%s: error %d: %s", missing, refused.Number, refused.Message)
	case errors.Is(err, mysql.ErrNoTLS):
		return a.fail(checkers.ClassTLS, "the server does not speak TLS")
	case ofTLS(err) != nil:
		return a.broken(ctx, ofTLS(err), checkers.ClassTLS, "connected, but no TLS handshake")
	}
	return a.broken(ctx, explainEnd(link.cause(err)), checkers.ClassProtocol, "connected, but "+missing)
}
