// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred-lb/maitred/checkers"
)

// webSocket passes when the real server takes a connection as one of WebSocket
// (RFC 6455), and says what is expected inside.
type webSocket struct {
	http         *httpCheck // the opening handshake
	subprotocols []string
	send         string
	expect       *regexp.Regexp // nil: nothing is waited for
}

// webSocketOptions describes the options of websocket.
func webSocketOptions() []Option {
	var asked []Option
	for _, o := range requestOptions() {
		if slices.Contains([]string{"path", "host", "headers", "auth_file"}, o.Name) {
			asked = append(asked, o)
		}
	}
	return slices.Concat(asked, []Option{
		{Name: "subprotocols", Form: FormList, Doc: "Subprotocols to offer, of which the server must choose one."},
		{Name: "send", Form: FormText, Doc: "A message of text to send."},
		{Name: "expect_regex", Form: FormText, Doc: "A regular expression (Go's package regexp) that a message of the server's must match, within its first 64 KiB."},
		tlsFlag(),
	}, secureOptions())
}

func newWebSocket(env Env, o *options) checkers.Checker {
	h := &httpCheck{
		dial: env.Dialer.Dial, scheme: "http", version: version1,
		url: readPath(o), host: readHost(o), header: readHeaders(o),
	}
	addAuth(o, h.header)
	w := &webSocket{http: h, subprotocols: o.texts("subprotocols"), send: o.text("send", ""), expect: o.pattern("expect_regex")}
	for i, name := range w.subprotocols {
		if problem := badToken(name); problem != "" {
			o.reject([]string{"subprotocols", strconv.Itoa(i)}, "%q is not the name of a subprotocol", name)
		}
	}
	if h.secure = readTLSFlag(o, h.host, version1); h.secure != nil {
		h.scheme = "https"
	}
	return w
}

// Check implements Checker.
func (w *webSocket) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
	scheme := map[string]string{"http": "ws", "https": "wss"}[w.http.scheme]
	a := newAttempt(ctx, scheme+"://"+target.String()+checkers.Clip(w.http.url.EscapedPath(), maxPath))
	l, result := w.http.open(ctx, a, target)
	if l == nil {
		return result
	}
	defer l.close(ctx)
	defer l.interrupt(ctx)()
	return w.talk(ctx, a, l, w.http.request(ctx, target))
}

// talk opens the WebSocket and has the dialogue in it.
func (w *webSocket) talk(ctx context.Context, a attempt, l *line, request *http.Request) checkers.Result {
	up := &upgrade{line: l}
	conn, answer, err := websocket.Dial(ctx, request.URL.String(), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: up, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader:   request.Header,
		Host:         request.Host,
		Subprotocols: w.subprotocols,
	})
	switch {
	case up.err != nil:
		return a.broken(ctx, explainHTTP(up.err), classOfTalk(up.err), up.missing)
	case err != nil && answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		r := a.fail(checkers.ClassStatus, "status %d%s, wanted 101", answer.StatusCode, redirection(answer))
		r.Detail = strconv.Itoa(answer.StatusCode)
		return r
	case err != nil:
		return a.broken(ctx, err, checkers.ClassProtocol, "connected, but no WebSocket")
	}
	defer func() { _ = conn.CloseNow() }()
	up.good = true
	a.step("it is a WebSocket")
	if len(w.subprotocols) > 0 && !slices.Contains(w.subprotocols, conn.Subprotocol()) {
		return a.fail(checkers.ClassProtocol, "the server chose none of the subprotocols %q", w.subprotocols)
	}
	if failure := w.dialogue(ctx, a, conn); failure != nil {
		return *failure
	}
	result := l.watched(w.http.secure, a.pass("a WebSocket"))
	leave(ctx, l, conn)
	return result
}

// dialogue sends and waits as the options say; nil: all is well.
func (w *webSocket) dialogue(ctx context.Context, a attempt, conn *websocket.Conn) *checkers.Result {
	conn.SetReadLimit(maxExpect)
	if w.send != "" {
		if err := conn.Write(ctx, websocket.MessageText, []byte(w.send)); err != nil {
			r := a.broken(ctx, err, checkers.ClassProtocol, "the message was not taken")
			return &r
		}
		a.step("sent %q", w.send)
	}
	last := ""
	for heard := 0; w.expect != nil; {
		_, message, err := conn.Read(ctx)
		if err != nil {
			r := a.broken(ctx, explainHTTP(err), checkers.ClassProtocol, fmt.Sprintf("no message that matches %q%s", w.expect, last))
			return &r
		}
		a.step("heard %q", message)
		if w.expect.Match(message) {
			return nil
		}
		last = fmt.Sprintf(" but %q", checkers.Clip(string(message), 80))
		if heard += len(message) + 1; heard > maxExpect {
			r := a.fail(checkers.ClassContent, "no message matches %q within the first %d bytes", w.expect, maxExpect)
			return &r
		}
	}
	return nil
}

// leave closes a WebSocket as RFC 6455 wants it, but does not wait long for a
// server that does not answer.
func leave(ctx context.Context, l *line, conn *websocket.Conn) {
	const patience = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer l.interrupt(ctx)()
	_ = conn.Close(websocket.StatusNormalClosure, "") // the verdict stands already
}

// upgrade makes the one request of an opening handshake on a connection.
type upgrade struct {
	line    *line
	missing string
	err     error
	good    bool // the handshake was
}

// RoundTrip implements http.RoundTripper.
func (u *upgrade) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, missing, err := u.line.ask(request)
	if err != nil {
		u.missing, u.err = missing, err
		return nil, err
	}
	answer.Body = http.NoBody // of no use, and may never end
	if one, ok := u.line.session.(*http1); ok && answer.StatusCode == http.StatusSwitchingProtocols {
		answer.Body = &upgraded{one.conn, one.reader, u}
	}
	return answer, nil
}

// upgraded is a connection of which some was read ahead.
type upgraded struct {
	net.Conn
	reader *bufio.Reader
	by     *upgrade
}

// Read implements io.Reader. Of a handshake that is bad there is nothing to read:
// package websocket would wait for an explanation.
func (u *upgraded) Read(p []byte) (int, error) {
	if !u.by.good {
		return 0, io.EOF
	}
	return u.reader.Read(p)
}

// Close leaves the connection to its owner, who knows how to.
func (u *upgraded) Close() error { return nil }
