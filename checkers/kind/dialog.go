// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// maxTalk is what a server may say in one run, in bytes: those of package talk,
// whose answers are short. Whoever says more floods.
const maxTalk = 1 << 20

var errFlood = saysMore(maxTalk)

func saysMore(most int) error { return fmt.Errorf("the server sends more than %d bytes", most) }

// talker is how a check of one of our own protocols is set up.
type talker struct {
	dial   dialFunc
	secure *secure // nil: in the clear, at first at least
}

// dialog is a conversation with a server in a protocol of our own.
type dialog struct {
	attempt
	ctx    context.Context // of this run
	target netip.AddrPort
	link   *capped
	conn   net.Conn // the link, or TLS in it
	r      *bufio.Reader
	inside *tls.Conn // nil: in the clear
}

// with connects to a server, has the conversation and hangs up.
func (p talker) with(ctx context.Context, a attempt, target netip.AddrPort, do func(*dialog) checkers.Result) checkers.Result {
	conn, err := p.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	a.step("connected")
	link := &capped{Conn: conn, left: maxTalk}
	t := &dialog{attempt: a, ctx: ctx, target: target, link: link, conn: link, r: bufio.NewReader(link)}
	if p.secure != nil {
		if err := t.encrypt(p.secure); err != nil {
			return t.lost(err, "")
		}
	}
	result := do(t)
	if t.inside != nil {
		result = p.secure.watch(result, t.inside.ConnectionState())
		farewell(ctx, t.inside)
	}
	return result
}

// encrypt goes over to TLS.
func (t *dialog) encrypt(s *secure) error {
	inside, err := s.handshake(t.attempt, t.conn, t.target)
	if err != nil {
		return handshakeError{err}
	}
	t.inside, t.conn, t.r = inside, inside, bufio.NewReader(inside)
	return nil
}

// sturdy makes a result of what a library does with a server's bytes. Some take
// messages apart without looking whether they have the parts, and panic where
// one is missing: that must not end the director.
func sturdy(a attempt, protocol string, do func() checkers.Result) (result checkers.Result) {
	defer func() {
		if recover() != nil {
			result = a.fail(checkers.ClassProtocol, "the server does not speak %s", protocol)
		}
	}()
	return do()
}

type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

// send sends bytes.
func (t *dialog) send(message []byte) error {
	_, err := t.conn.Write(message)
	return err
}

// read reads that many bytes.
func (t *dialog) read(n int) ([]byte, error) {
	if n > maxTalk {
		return nil, errFlood
	}
	message := make([]byte, n)
	_, err := io.ReadFull(t.r, message)
	return message, err
}

// line reads a line that ends in \r\n or \n, without its end.
func (t *dialog) line() (string, error) {
	text, err := t.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", finding{checkers.ClassProtocol, fmt.Sprintf("the server sends a line longer than %d bytes", t.r.Size())}
	}
	return strings.TrimRight(string(text), "\r\n"), err
}

// lost is the result of a conversation that an error ended: a finding, the end
// of ctx, or whatever befell the connection. Missing is what was waited for.
func (t *dialog) lost(err error, missing string) checkers.Result {
	var (
		found finding
		hands handshakeError
	)
	switch {
	case errors.As(err, &found):
		return t.fail(found.class, "%s", found.text)
	case errors.As(err, &hands):
		return t.broken(t.ctx, hands.error, checkers.ClassTLS, "connected, but no TLS handshake")
	}
	return t.broken(t.ctx, explainEnd(err), classOfTalk(err), "connected, but "+missing)
}

// explainEnd puts the end of a conversation in words.
func explainEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server closed the connection before the end of its answer")
	}
	return err
}

// witness is the configuration for a library's own handshake with a server. It
// keeps what the handshake led to.
func (s *secure) witness(a attempt, target netip.AddrPort, state *tls.ConnectionState) *tls.Config {
	config := tlsFor(s.config, target).Clone()
	verify := config.VerifyConnection
	config.VerifyConnection = func(made tls.ConnectionState) error {
		*state = made
		a.step("%s", describe(made))
		if verify != nil {
			return verify(made)
		}
		return nil
	}
	return config
}

// watchIf is watch for TLS that began inside a dialog.
func (s *secure) watchIf(t *dialog, r checkers.Result) checkers.Result {
	if s == nil || t.inside == nil {
		return r
	}
	return s.watch(r, t.inside.ConnectionState())
}

// ofTLS is the error of a handshake that a library has put into its own; nil
// where there is none.
func ofTLS(err error) error {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		op           *net.OpError
	)
	switch {
	case errors.As(err, &verification):
		return explainTLS(verification)
	case errors.As(err, &record):
		return explainTLS(record)
	case errors.As(err, &op) && op.Op == "remote error":
		return explainTLS(op)
	}
	return nil
}

// finding is an answer that shows that the server is not well, as an error.
type finding struct {
	class checkers.Class
	text  string
}

// Error implements error.
func (f finding) Error() string { return f.text }

func found(class checkers.Class, format string, args ...any) error {
	return finding{class, fmt.Sprintf(format, args...)}
}

// capped is a connection on which the server may say so much and no more. It
// keeps the error that ended it, which libraries like to hide.
type capped struct {
	net.Conn
	left int
	most int // that it may have said when nothing is left; zero: maxTalk
	err  error
}

// Read implements net.Conn.
func (c *capped) Read(b []byte) (int, error) {
	if c.left <= 0 {
		c.err = errFlood
		if c.most > 0 {
			c.err = saysMore(c.most)
		}
		return 0, c.err
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// SetDeadline implements net.Conn. The deadline is that of the run, and interrupt
// sees to it: those of libraries would outlive it.
func (c *capped) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn as SetDeadline does.
func (c *capped) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn as SetDeadline does.
func (c *capped) SetWriteDeadline(time.Time) error { return nil }

// cause is the error that ended the connection, or else this one.
func (c *capped) cause(err error) error {
	if c != nil && c.err != nil {
		return c.err
	}
	return err
}

// secret reads a password from the file that the option names; it is empty where
// there is none. The line's end is no part of it.
func (o *options) secret(key string) string {
	const longest = 4 << 10
	file := o.text(key, "")
	if file == "" {
		return ""
	}
	content, err := os.ReadFile(file)
	if err != nil {
		o.reject([]string{key}, "%v", err)
		return ""
	}
	password := strings.TrimRight(string(content), "\r\n")
	if password == "" || len(password) > longest || strings.ContainsRune(password, 0) {
		o.reject([]string{key}, "%s holds no password: one line of 1 to %d bytes is right", file, longest)
		return ""
	}
	return password
}

// login reads user and password_file. A password needs its user.
func (o *options) login() (user, password string) {
	user, password = o.text("user", ""), o.secret("password_file")
	if user == "" && password != "" {
		o.reject([]string{"password_file"}, "has no effect without user: give one, or remove it")
	}
	return user, password
}

// loginOptions describes what login reads.
func loginOptions() []Option {
	return []Option{
		{Name: "user", Form: FormText, Doc: "The user to log in as; without one nobody logs in."},
		{Name: "password_file", Form: FormFile, Doc: "A file with the user's password on its first line."},
	}
}

// inTLS describes the switch of TLS and its options.
func inTLS() []Option { return append([]Option{tlsFlag()}, secureOptions()...) }
