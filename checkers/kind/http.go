// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"

	"github.com/maitred-lb/maitred/checkers"
)

// maxHeader is what a check reads at most of an answer's header, in bytes. A
// longer one is a failure.
const maxHeader = 64 << 10

// maxPath is how much of the path a message shows, in bytes, so that room is
// left for what went wrong.
const maxPath = 100

// httpCheck passes when the real server answers a request in HTTP (RFC 9110)
// as expected. Every run opens a connection of its own unless reuse is asked
// for, sends one request, follows no redirect and reads the whole answer, up to
// a limit: a page that stalls half way is a failure.
//
// HTTP/1.1 is spoken to the connection itself rather than through
// http.Transport: the steps of a run are then the steps of its failures, and no
// goroutine of a pool outlives the run.
type httpCheck struct {
	dial    dialFunc
	dialUDP dialFunc // for HTTP/3
	scheme  string   // http or https
	version string   // one of the versions
	method  string
	url     url.URL // path and query
	host    string  // Host header; empty: the target
	header  http.Header
	payload []byte  // of the request
	secure  *secure // nil for http
	expect  expectation
	keep    *keeper // nil: no connection outlives its run
}

// The versions of HTTP, by their names in ALPN (RFC 7301).
const (
	version1  = "http/1.1"
	version2  = "h2"
	version2C = "h2c" // in the clear, with prior knowledge
	version3  = "h3"
)

// Check implements Checker.
func (h *httpCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
	shown := h.url
	shown.RawQuery, shown.ForceQuery = "", false // results are logged, and a query may hold a password
	a := newAttempt(ctx, h.method+" "+h.scheme+"://"+target.String()+checkers.Clip(shown.RequestURI(), maxPath))
	if kept := h.keep.take(ctx, target); kept != nil {
		a.step("took the connection that was kept")
		if result, ok := h.exchange(ctx, a, kept, target, true); ok {
			return result
		}
		a.step("it was dead")
	}
	l, result := h.open(ctx, a, target)
	if l == nil {
		return result
	}
	result, _ = h.exchange(ctx, a, l, target, false)
	return result
}

// open connects to a target; where that fails there is a result instead.
func (h *httpCheck) open(ctx context.Context, a attempt, target netip.AddrPort) (*line, checkers.Result) {
	if h.version == version3 {
		return h.openQUIC(ctx, a, target)
	}
	conn, err := h.dial(ctx, target)
	if err != nil {
		return nil, a.unconnected(ctx, err)
	}
	a.step("connected")
	l := &line{conn: conn}
	defer interrupt(ctx, conn)()
	talk := conn
	if h.secure != nil {
		if l.inside, err = h.secure.handshake(a, conn, target); err != nil {
			l.close(ctx)
			return nil, a.broken(ctx, err, checkers.ClassTLS, "connected, but no TLS handshake")
		}
		talk = l.inside
	}
	if h.version == version1 {
		l.session = &http1{conn: talk}
		return l, checkers.Result{}
	}
	if l.session, err = newHTTP2(ctx, talk, conn); err != nil {
		l.close(ctx)
		return nil, a.broken(ctx, explainHTTP(err), checkers.ClassProtocol, "connected, but no talk in HTTP/2")
	}
	return l, checkers.Result{}
}

// exchange makes the request on a connection, judges the answer, and keeps the
// connection or closes it. A connection that was kept may be dead already, or the
// server may have grown tired of it: then there is no result.
func (h *httpCheck) exchange(ctx context.Context, a attempt, l *line, target netip.AddrPort, kept bool) (_ checkers.Result, ok bool) {
	whole := false
	release := l.interrupt(ctx)
	defer func() {
		release()
		if !whole || ctx.Err() != nil || !h.keep.put(ctx, target, l) {
			l.close(ctx)
		}
	}()
	answer, missing, err := l.ask(h.request(ctx, target))
	if err != nil {
		if kept && ctx.Err() == nil {
			return checkers.Result{}, false
		}
		return a.broken(ctx, explainHTTP(err), classOfTalk(err), missing), true
	}
	defer func() { _ = answer.Body.Close() }()
	if kept && answer.StatusCode == http.StatusRequestTimeout {
		return checkers.Result{}, false // to nobody's request: RFC 9110 section 15.5.9
	}
	a.step("%s, status %d", answer.Proto, answer.StatusCode)
	if !h.expect.takes(answer.StatusCode) {
		r := a.fail(checkers.ClassStatus, "status %d%s, wanted %s", answer.StatusCode, redirection(answer), h.expect.status)
		r.Detail = strconv.Itoa(answer.StatusCode)
		return r, true
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(h.expect.maxBody)+1))
	if err != nil {
		missing := fmt.Sprintf("status %d, but no end of the body", answer.StatusCode)
		return a.broken(ctx, explainHTTP(err), classOfTalk(err), missing), true
	}
	whole = len(body) <= h.expect.maxBody
	a.step("read %d bytes of the body", len(body))
	return l.watched(h.secure, h.expect.judge(ctx, a, answer, body)), true
}

// request makes the request of one run.
func (h *httpCheck) request(ctx context.Context, target netip.AddrPort) *http.Request {
	u := h.url
	u.Scheme = h.scheme
	u.Host = target.String()
	host := h.host
	if host == "" {
		host = hostOf(h.scheme, target)
	}
	r := &http.Request{Method: h.method, URL: &u, Host: host, Header: h.header, Close: h.version == version1 && h.keep == nil}
	if len(h.payload) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(h.payload)), int64(len(h.payload))
	}
	return r.WithContext(ctx)
}

// hostOf is the Host header for a target that has no name: RFC 9110 section 7.2
// leaves out the port where it is the scheme's own, and some servers insist.
func hostOf(scheme string, target netip.AddrPort) string {
	address := target.Addr().WithZone("")
	usual := scheme == "http" && target.Port() == 80 || scheme == "https" && target.Port() == 443
	if !usual {
		return netip.AddrPortFrom(address, target.Port()).String()
	}
	if address.Is6() {
		return "[" + address.String() + "]"
	}
	return address.String()
}

// classOfTalk is the class of an error after the handshake. In TLS 1.3 a server
// may turn a client down only then, with an alert.
func classOfTalk(err error) checkers.Class {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return checkers.ClassTLS
	}
	return checkers.ClassProtocol
}

// explainHTTP puts an end of the connection in words.
func explainHTTP(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server closed the connection before the end of its answer")
	}
	return err
}

// ended tells whether an error means that the other side has closed the
// connection, or reset it.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// redirection says where an answer points, for the message.
func redirection(answer *http.Response) string {
	if location := answer.Header.Get("Location"); location != "" {
		return fmt.Sprintf(" (to %s)", location)
	}
	return ""
}
