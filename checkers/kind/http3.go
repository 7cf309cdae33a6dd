// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/maitred-lb/maitred/checkers"
)

// maxQUIC is after how long package quic gives up by itself. The deadline of a
// run comes sooner, or is as long.
const maxQUIC = 24 * time.Hour

// http3Options describes the options of http3.
func http3Options() []Option { return append(requestOptions(), secureOptions()...) }

// newHTTP3 makes the checker of an http3 check from its options.
func newHTTP3(env Env, o *options) checkers.Checker {
	h := readAsked(o, "https")
	h.dialUDP = env.Dialer.DialUDP
	h.version = version3
	h.secure = readSecure(o, h.host, version3)
	h.secure.config.MinVersion = tls.VersionTLS13 // RFC 9001 knows no other
	return h
}

// openQUIC connects to a target by QUIC (RFC 9000). A server that says nothing
// has accepted nothing: that is no connection.
func (h *httpCheck) openQUIC(ctx context.Context, a attempt, target netip.AddrPort) (*line, checkers.Result) {
	socket, err := h.dialUDP(ctx, target)
	if err != nil {
		return nil, a.unconnected(ctx, err)
	}
	s := &quicSession{socket: socket, transport: &quic.Transport{Conn: &connected{socket}}}
	s.conn, err = s.transport.Dial(ctx, socket.RemoteAddr(), tlsFor(h.secure.config, target), &quic.Config{
		HandshakeIdleTimeout: maxQUIC,
		MaxIdleTimeout:       maxQUIC,
		MaxIncomingStreams:   -1, // of both directions: a server opens none
		// What a server may send ahead of what is read.
		MaxStreamReceiveWindow:     longestBody,
		MaxConnectionReceiveWindow: longestBody,
		DisablePathMTUDiscovery:    true, // too short a talk to gain by it
	})
	if err != nil {
		s.hang()
		if alert := new(quic.TransportError); errors.As(err, &alert) && alert.ErrorCode.IsCryptoError() {
			return nil, a.broken(ctx, explainQUIC(alert), checkers.ClassTLS, "no TLS handshake")
		}
		if alert := new(quic.TransportError); errors.As(err, &alert) {
			return nil, a.broken(ctx, err, checkers.ClassProtocol, "no connection")
		}
		return nil, a.unconnected(ctx, err)
	}
	state := s.conn.ConnectionState().TLS
	a.step("QUIC, %s", describe(state))
	t := &http3.Transport{MaxResponseHeaderBytes: maxHeader, DisableCompression: true}
	s.client = t.NewClientConn(s.conn)
	return &line{session: s, outside: &state}, checkers.Result{}
}

// explainQUIC says of a TLS alert what explainTLS does.
func explainQUIC(alert *quic.TransportError) error {
	for _, cause := range alert.Unwrap() {
		if cause != nil && !errors.Is(cause, net.ErrClosed) {
			return explainTLS(cause)
		}
	}
	text := cmp.Or(alert.ErrorMessage, alert.ErrorCode.Message(), alert.Error())
	if alert.Remote {
		return fmt.Errorf("the server refused the handshake: %s", text)
	}
	return errors.New(text)
}

// quicSession speaks HTTP/3 (RFC 9114).
type quicSession struct {
	socket    net.Conn
	transport *quic.Transport
	conn      *quic.Conn
	client    *http3.ClientConn
}

func (s *quicSession) ask(request *http.Request) (*http.Response, string, error) {
	answer, err := s.client.RoundTrip(request)
	return answer, "connected, but no answer", err
}

func (s *quicSession) again() bool { return false }

// hang ends the connection, tells the server so, and waits for its goroutines.
func (s *quicSession) hang() {
	if s.conn != nil {
		_ = s.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
	_ = s.transport.Close()
	_ = s.socket.Close()
}

// connected is a socket of UDP that is connected, so that it hears of ICMP
// errors, in the form in which package quic takes sockets.
type connected struct{ net.Conn }

// ReadFrom implements net.PacketConn.
func (c *connected) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := c.Read(p)
	return n, c.RemoteAddr(), err
}

// WriteTo implements net.PacketConn.
func (c *connected) WriteTo(p []byte, _ net.Addr) (int, error) { return c.Write(p) }

// SetReadBuffer does nothing: without it package quic writes to the log.
func (c *connected) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing, as SetReadBuffer.
func (c *connected) SetWriteBuffer(int) error { return nil }
