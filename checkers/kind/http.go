// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// What a check reads at most of an answer, in bytes. A longer header is a
// failure; a longer body is searched as far as this.
const (
	maxHeader = 64 << 10
	maxBody   = 64 << 10
)

// maxPath is how much of the path a message shows, in bytes, so that room is
// left for what went wrong.
const maxPath = 100

// httpCheck passes when the real server answers a request in HTTP/1.1 (RFC 9112)
// with an expected status and text. Every run opens a connection of its own,
// sends one request, follows no redirect and reads the whole answer, up to
// maxBody: a page that stalls half way is a failure.
//
// It speaks to the connection itself rather than through http.Transport: the
// steps of a run are then the steps of its failures, and no goroutine of a pool
// outlives the run.
type httpCheck struct {
	dial   dialFunc
	scheme string // http or https
	method string
	url    url.URL // path and query
	host   string  // Host header; empty: the target
	header http.Header
	tls    *tls.Config // nil for http
	status ranges
	body   []byte // that the answer's body must contain
}

// Check implements Checker.
func (h *httpCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
	shown := h.url
	shown.RawQuery, shown.ForceQuery = "", false // results are logged, and a query may hold a password
	a := newAttempt(ctx, h.method+" "+h.scheme+"://"+target.String()+checkers.Clip(shown.RequestURI(), maxPath))
	conn, err := h.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()

	talk := conn
	if h.tls != nil {
		secure := tls.Client(conn, h.tlsFor(target))
		if err := secure.Handshake(); err != nil {
			return a.broken(ctx, explainTLS(err), checkers.ClassTLS, "connected, but no TLS handshake")
		}
		defer farewell(ctx, secure)
		talk = secure
	}
	return h.exchange(ctx, a, talk, target)
}

// farewell tells the server that the end of the connection is meant, which
// keeps its log clean. When the time is up the server may read no more, and
// package tls would wait seconds for it: tls.Conn.Close must not be called.
func farewell(ctx context.Context, conn *tls.Conn) {
	if ctx.Err() == nil {
		_ = conn.CloseWrite() // the verdict stands already
	}
}

// exchange sends the request and judges the answer.
func (h *httpCheck) exchange(ctx context.Context, a attempt, conn net.Conn, target netip.AddrPort) checkers.Result {
	request := h.request(target)
	if err := request.Write(conn); err != nil {
		return a.broken(ctx, err, classOfTalk(err), "connected, but the request was not taken")
	}
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	answer, err := readAnswer(bufio.NewReader(limited), request)
	switch {
	case err == nil:
	case limited.N <= 0:
		return a.fail(checkers.ClassProtocol, "the answer's header is longer than %d bytes", maxHeader)
	default:
		return a.broken(ctx, explainHTTP(err), classOfTalk(err), "connected, but no answer")
	}
	if !h.status.contain(answer.StatusCode) {
		r := a.fail(checkers.ClassStatus, "status %d%s, wanted %s", answer.StatusCode, redirection(answer), h.status)
		r.Detail = strconv.Itoa(answer.StatusCode)
		return r
	}

	limited.N = math.MaxInt64 // from here on maxBody limits
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		missing := fmt.Sprintf("status %d, but no end of the body", answer.StatusCode)
		return a.broken(ctx, explainHTTP(err), classOfTalk(err), missing)
	}
	if !bytes.Contains(body, h.body) {
		return a.fail(checkers.ClassContent, "status %d, but %q is not in the body (%d bytes read)", answer.StatusCode, h.body, len(body))
	}
	return a.pass("status %d", answer.StatusCode)
}

// request makes the request of one run.
func (h *httpCheck) request(target netip.AddrPort) *http.Request {
	u := h.url
	u.Scheme = h.scheme
	u.Host = target.String()
	host := h.host
	if host == "" {
		host = hostOf(h.scheme, target)
	}
	return &http.Request{Method: h.method, URL: &u, Host: host, Header: h.header, Close: true}
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

// readAnswer reads the header of the final answer. Interim ones (RFC 9110
// section 15.2) may come before it; the reader's limit bounds their number.
func readAnswer(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		answer, err := http.ReadResponse(r, request)
		if err != nil {
			return nil, err
		}
		final := answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols
		if final {
			return answer, nil
		}
	}
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

// redirection says where an answer points, for the message.
func redirection(answer *http.Response) string {
	if location := answer.Header.Get("Location"); location != "" {
		return fmt.Sprintf(" (to %s)", location)
	}
	return ""
}

// ranges are the statuses that an answer may have.
type ranges []statusRange

type statusRange struct{ low, high int }

func (r ranges) contain(status int) bool {
	for _, one := range r {
		if one.low <= status && status <= one.high {
			return true
		}
	}
	return false
}

// String is the ranges as the configuration spells them.
func (r ranges) String() string {
	var all []string
	for _, one := range r {
		text := strconv.Itoa(one.low)
		if one.high != one.low {
			text += "-" + strconv.Itoa(one.high)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}
