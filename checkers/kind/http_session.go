// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"

	"github.com/maitred-lb/maitred/checkers"
)

// line is an open connection to a server and what is spoken on it.
type line struct {
	session
	conn   net.Conn  // of TCP; nil where there is another below the session
	inside *tls.Conn // in it; nil in the clear
	// outside is what TLS agreed on where it is the session's own; else nil.
	outside *tls.ConnectionState
}

// session makes one request after the other on a connection.
type session interface {
	// ask makes a request and reads the answer as far as its header. What was
	// waited for goes with the error.
	ask(*http.Request) (answer *http.Response, missing string, err error)
	// again tells whether the answer, now read, leaves room for another.
	again() bool
	// hang ends what runs for the session.
	hang()
}

func (l *line) close(ctx context.Context) {
	if l.inside != nil {
		farewell(ctx, l.inside)
	}
	if l.session != nil {
		l.hang()
	}
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// interrupt makes the session end with ctx, until release is called.
func (l *line) interrupt(ctx context.Context) (release func()) {
	if l.conn == nil {
		return func() {} // its requests end by themselves
	}
	return interrupt(ctx, l.conn)
}

// watched is what secure makes of a result, by the certificate of this server.
func (l *line) watched(s *secure, r checkers.Result) checkers.Result {
	switch {
	case l.outside != nil:
		return s.watch(r, *l.outside)
	case l.inside != nil:
		return s.watch(r, l.inside.ConnectionState())
	}
	return r
}

// http1 speaks HTTP/1.1 (RFC 9112).
type http1 struct {
	conn   net.Conn
	reader *bufio.Reader
	answer *http.Response
}

func (h *http1) ask(request *http.Request) (*http.Response, string, error) {
	if err := request.Write(h.conn); err != nil {
		return nil, "connected, but the request was not taken", err
	}
	limited := &io.LimitedReader{R: h.conn, N: maxHeader}
	h.reader = bufio.NewReader(limited)
	answer, err := readAnswer(h.reader, request)
	switch {
	case err == nil:
	case limited.N <= 0:
		return nil, "", fmt.Errorf("the answer's header is longer than %d bytes", maxHeader)
	default:
		return nil, "connected, but no answer", err
	}
	limited.N = math.MaxInt64 // from here on others limit
	h.answer = answer
	return answer, "", nil
}

func (h *http1) again() bool {
	return !h.answer.Close && h.answer.StatusCode != http.StatusSwitchingProtocols && h.reader.Buffered() == 0
}

func (h *http1) hang() {}

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

// multiplexed speaks HTTP/2 (RFC 9113) with prior knowledge. Its goroutines end
// with its connection.
type multiplexed struct{ conn *http.ClientConn }

// newHTTP2 begins to speak HTTP/2 on talk, which is conn or TLS inside it.
func newHTTP2(ctx context.Context, talk, conn net.Conn) (session, error) {
	// A transport of its own costs little, and shares nothing with others. To it
	// all is in the clear: what TLS agreed on is known here.
	t := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return blunt{talk, conn}, nil },
		Protocols:              new(http.Protocols),
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	client, err := t.NewClientConn(ctx, "http", conn.RemoteAddr().String())
	if err != nil {
		return nil, err
	}
	return multiplexed{client}, nil
}

func (m multiplexed) ask(request *http.Request) (*http.Response, string, error) {
	if err := m.conn.Err(); err != nil {
		return nil, "", err
	}
	answer, err := m.conn.RoundTrip(request)
	return answer, "connected, but no answer", err
}

func (m multiplexed) again() bool { return m.conn.Err() == nil && m.conn.Available() > 0 }

func (m multiplexed) hang() { _ = m.conn.Close() }

// blunt closes what is below TLS, since tls.Conn.Close may wait for seconds.
type blunt struct {
	net.Conn
	below net.Conn
}

// Close implements net.Conn.
func (b blunt) Close() error { return b.below.Close() }
