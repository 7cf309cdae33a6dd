// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/maitred-lb/maitred/checkers"
)

// maxPgMessage is what one message of PostgreSQL may hold, in bytes.
const maxPgMessage = 256 << 10

// pgLag is a replica's lag: nothing where it has replayed all that it received,
// since a primary that has nothing to say is not behind.
const pgLag = `SELECT CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
ELSE extract(epoch FROM now() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) END`

// pgReceives tells whether a replica gets anything from its primary: NULL for a
// user without the rights of pg_read_all_stats.
const pgReceives = `SELECT (SELECT status FROM pg_stat_wal_receiver) IS NOT DISTINCT FROM 'streaming'`

// postgres passes when a PostgreSQL server takes the login and is in the state
// that is wanted. Without a user it asks for a session as a stranger, and passes
// if the server gets as far as asking who that is.
type postgres struct {
	talker
	config     *pgconn.Config
	question   question
	inRecovery wish
	lag        lagLimit
}

func postgresOptions() []Option {
	all := append(loginOptions(), Option{Name: "database", Form: FormText, Doc: "The database to use; without one that of the user's name."})
	all = append(all, questionOptions()...)
	all = append(all, Option{Name: "in_recovery", Form: FormFlag, Doc: "What pg_is_in_recovery() has to be: true for a replica, false for a primary; without this it may be either."})
	return append(append(all, lagOptions()...), inTLS()...)
}

func newPostgres(env Env, o *options) checkers.Checker {
	p := &postgres{
		talker:     talker{env.Dialer.Dial, readTLSFlag(o, "", "postgresql")},
		question:   readQuestion(o),
		inRecovery: readWish(o, "in_recovery"),
		lag:        readLag(o),
	}
	user, password := o.login()
	database := o.text("database", user)
	o.unprivileged(user, "database", "query", "in_recovery", "max_lag")
	// All that the environment of the daemon could bring in is set here.
	config, err := pgconn.ParseConfig("host=localhost user=maitred sslmode=disable passfile=/dev/null servicefile=/dev/null target_session_attrs=any")
	if err != nil {
		o.reject([]string{"user"}, "the environment variables of libpq (PG...) are in the way: %v", err)
		return p
	}
	config.User, config.Password, config.Database = user, password, database
	config.Fallbacks, config.ValidateConnect, config.ConnectTimeout = nil, nil, 0
	config.RuntimeParams = map[string]string{"application_name": "maitred"}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		f := pgproto3.NewFrontend(r, w)
		f.SetMaxBodyLen(maxPgMessage)
		return f
	}
	p.config = config
	return p
}

// Check implements Checker.
func (p *postgres) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "postgres "+target.String())
	if p.config.User == "" {
		return talker{dial: p.dial}.with(ctx, a, target, p.stranger)
	}
	conn, err := p.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	a.step("connected")
	return p.login(ctx, a, target, &capped{Conn: conn, left: maxTalk})
}

// login logs in over a connection and judges what the server says then.
func (p *postgres) login(ctx context.Context, a attempt, target netip.AddrPort, link *capped) checkers.Result {
	config, state := p.config.Copy(), tls.ConnectionState{}
	config.Host, config.Port = target.Addr().String(), target.Port()
	dialed := false
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if dialed { // pgconn would make another to call off what the first was doing
			return nil, errors.New("one connection is enough")
		}
		dialed = true
		return link, nil
	}
	if p.secure != nil {
		config.TLSConfig = p.secure.witness(a, target, &state)
	}
	session, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return pgLost(ctx, a, link, err, "no login")
	}
	a.step("logged in as %s", config.User)
	// From here on the session is ours: pgconn would end it in the background.
	bare, err := session.Hijack()
	if err != nil {
		return a.local(err)
	}
	result, err := p.judge(a, func(query string) (rowset, error) { return pgAsk(bare.Frontend, query) })
	if err != nil {
		return pgLost(ctx, a, link, err, "no answer to a query")
	}
	bare.Frontend.Send(&pgproto3.Terminate{})
	_ = bare.Frontend.Flush() // the verdict stands
	return p.secure.watch(result, state)
}

// judge asks all that the options want to know, the lag last.
func (p *postgres) judge(a attempt, ask asker) (result checkers.Result, err error) {
	said := "logged in"
	if p.inRecovery.wanted {
		answer, err := question{query: "SELECT pg_is_in_recovery()"}.put(ask)
		if err == nil {
			err = p.inRecovery.judge("pg_is_in_recovery()", answer == "t")
		}
		if err != nil {
			return result, err
		}
		said = join(said, fmt.Sprintf("in recovery: %v", p.inRecovery.value))
	}
	if p.question.query != "" {
		value, err := p.question.put(ask)
		if err != nil {
			return result, err
		}
		a.step("the query returns %q", value)
		said = join(said, "the query passes")
	}
	if p.lag.most == 0 {
		return a.pass("%s", said), nil
	}
	lag, err := postgresLag(ask)
	if err != nil {
		return result, err
	}
	a.step("%v behind", lag)
	return p.lag.judge(a, lag, said), nil
}

// postgresLag is how far a replica is behind.
func postgresLag(ask asker) (time.Duration, error) {
	replica, err := question{query: "SELECT pg_is_in_recovery()"}.put(ask)
	if err != nil || replica != "t" {
		return 0, err
	}
	receives, err := question{query: pgReceives}.put(ask)
	if err != nil {
		return 0, err
	}
	if receives != "t" {
		return 0, found(checkers.ClassStatus, "replication does not run: see pg_stat_wal_receiver, which the user must be allowed to read (GRANT pg_read_all_stats)")
	}
	answer, err := question{query: pgLag}.put(ask)
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(answer, 64)
	if err != nil || seconds != seconds || seconds > 1e9 {
		return 0, found(checkers.ClassProtocol, "the server's lag is %q, which is not a number", checkers.Clip(answer, 40))
	}
	return time.Duration(max(seconds, 0) * float64(time.Second)), nil
}

// pgAsk puts a query in the simple protocol and reads the first rows of the
// answer.
func pgAsk(f *pgproto3.Frontend, query string) (answer rowset, err error) {
	f.Send(&pgproto3.Query{String: query})
	if err := f.Flush(); err != nil {
		return answer, err
	}
	for {
		message, err := f.Receive()
		if err != nil {
			return answer, err
		}
		switch message := message.(type) {
		case *pgproto3.RowDescription:
			answer = rowset{}
			for _, field := range message.Fields {
				answer.columns = append(answer.columns, string(field.Name))
			}
		case *pgproto3.DataRow:
			if len(answer.rows) == maxRows {
				continue
			}
			row := make([]*string, len(message.Values))
			for i, value := range message.Values {
				if value != nil {
					row[i] = new(string(value))
				}
			}
			answer.rows = append(answer.rows, row)
		case *pgproto3.ErrorResponse:
			return answer, pgconn.ErrorResponseToPgError(message)
		case *pgproto3.CopyInResponse, *pgproto3.CopyBothResponse:
			return answer, found(checkers.ClassContent, "the query asks for data: one that returns a value is right")
		case *pgproto3.ReadyForQuery:
			return answer, nil
		}
	}
}

// stranger asks for a session in the name of one whom the server need not know.
func (p *postgres) stranger(t *dialog) checkers.Result {
	if p.secure != nil {
		if err := t.pgTLS(p.secure); err != nil {
			return t.lost(err, "no answer to the wish for TLS")
		}
	}
	f := p.config.BuildFrontend(t.r, t.conn)
	f.Send(&pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters:      map[string]string{"user": "maitred", "application_name": "maitred"},
	})
	err := f.Flush()
	var message pgproto3.BackendMessage
	if err == nil {
		message, err = f.Receive()
	}
	if err != nil {
		return t.lost(pgWrong(err), "no answer to a login")
	}
	if refusal, ok := message.(*pgproto3.ErrorResponse); ok {
		t.step("turned down: %s (%s)", refusal.Message, refusal.Code)
		const who = "28" // the class of SQLSTATE for invalid authorization
		if !strings.HasPrefix(refusal.Code, who) {
			return t.fail(checkers.ClassStatus, "%s (%s)", refusal.Message, refusal.Code)
		}
	}
	return p.secure.watchIf(t, t.pass("the server takes logins"))
}

// pgTLS asks for TLS: the PostgreSQL documentation, "SSL Session Encryption".
func (t *dialog) pgTLS(s *secure) error {
	if err := t.send([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
		return err
	}
	answer, err := t.read(1)
	switch {
	case err != nil:
		return err
	case answer[0] == 'N':
		return found(checkers.ClassTLS, "the server does not speak TLS")
	case answer[0] != 'S':
		return found(checkers.ClassProtocol, "the server does not speak PostgreSQL")
	case t.r.Buffered() > 0: // an attacker between may have put it there (CVE-2021-23222)
		return found(checkers.ClassProtocol, "the server speaks before the TLS handshake")
	}
	return t.encrypt(s)
}

// pgWrong finds what pgproto3 cannot read.
func pgWrong(err error) error {
	if long := new(pgproto3.ExceededMaxBodyLenErr); errors.As(err, &long) {
		return found(checkers.ClassProtocol, "the server does not speak PostgreSQL: %v", long)
	}
	return err
}

// pgLost is the result of a run that an error ended.
func pgLost(ctx context.Context, a attempt, link *capped, err error, missing string) checkers.Result {
	var (
		refused *pgconn.PgError
		wrong   finding
	)
	switch {
	case errors.As(pgWrong(err), &wrong):
		return a.fail(wrong.class, "%s", wrong.text)
	case errors.As(err, &refused):
		return a.fail(checkers.ClassStatus, "%s: %s (%s)", missing, refused.Message, refused.Code)
	case ofTLS(err) != nil:
		return a.broken(ctx, ofTLS(err), checkers.ClassTLS, "connected, but no TLS handshake")
	case strings.HasSuffix(err.Error(), "server refused TLS connection"):
		return a.fail(checkers.ClassTLS, "the server does not speak TLS")
	}
	return a.broken(ctx, explainEnd(link.cause(innermost(err))), checkers.ClassProtocol, "connected, but "+missing)
}

// innermost is the error without what libraries put around it: user, address
// and database are no part of a message.
func innermost(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}
