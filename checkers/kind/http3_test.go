// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/maitred-lb/maitred/checkers"
)

// udpSocket is one on loopback that is closed when the test ends.
func udpSocket(t testing.TB) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket, socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

// serveQUIC accepts connections of QUIC until the test ends. A handler may wait
// for the end of its connection.
func serveQUIC(t testing.TB, config *tls.Config, handle func(*quic.Conn)) netip.AddrPort {
	t.Helper()
	socket, target := udpSocket(t)
	transport := &quic.Transport{Conn: socket}
	l, err := transport.Listen(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			all.Go(func() { handle(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		_ = transport.Close()
		all.Wait()
	})
	return target
}

func TestHTTP3(t *testing.T) {
	id := newIdentity(t, time.Now().Add(240*time.Hour), "shop.example", "127.0.0.1")
	expired := newIdentity(t, time.Now().Add(-time.Hour), "127.0.0.1")
	server := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stalled":
			<-r.Context().Done()
		case "/half":
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/gone":
			panic(http.ErrAbortHandler)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/header":
			for range 2 * maxHeader >> 13 {
				w.Header().Add("X-Long", strings.Repeat("x", 8<<10))
			}
		case "/flood":
			_, _ = io.WriteString(w, strings.Repeat("x", 4<<20))
		default:
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.Method, r.Host, body)
		}
	})}
	handle := func(conn *quic.Conn) { _ = server.ServeQUICConn(conn) }
	config := func(id identity, alpn string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{id.pair}, NextProtos: []string{alpn}}
	}
	good, old := serveQUIC(t, config(id, "h3"), handle), serveQUIC(t, config(expired, "h3"), handle)
	other := serveQUIC(t, config(id, "doq"), handle)
	mute := serveQUIC(t, config(id, "h3"), func(conn *quic.Conn) { <-conn.Context().Done() })
	closes := serveQUIC(t, config(id, "h3"), func(conn *quic.Conn) {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "go away")
	})
	_, silent := udpSocket(t)
	lies, liar := udpSocket(t)
	var lying sync.WaitGroup
	lying.Go(func() {
		for {
			_, from, err := lies.ReadFrom(make([]byte, 2048))
			if err != nil {
				return
			}
			_, _ = lies.WriteTo([]byte("HTTP/1.1 200 OK\r\n\r\n"), from)
		}
	})
	t.Cleanup(func() {
		_ = lies.Close()
		lying.Wait()
	})
	gone, refused := udpSocket(t)
	_ = gone.Close()
	const within = "[0-9.]+m?s$"
	for _, test := range []struct {
		name    string
		target  netip.AddrPort
		options m
		outcome checkers.Outcome
		class   checkers.Class
		message string // matches
	}{
		{"good", good, m{"host": "shop.example", "method": "POST", "body": "hi", "expect": m{"body": "HTTP/3.0 POST shop.example hi"}}, checkers.OutcomePass, checkers.ClassNone, "status 200$"},
		{"ends soon", good, m{"expires_within": "14d"}, checkers.OutcomeDegraded, checkers.ClassNone, "status 200, but its certificate ends on [0-9-]+: renew it$"},
		{"text missing", good, m{"expect": m{"body": "fine"}}, checkers.OutcomeFail, checkers.ClassContent, `"fine" is not in the body`},
		{"status", good, m{"path": "/broken"}, checkers.OutcomeFail, checkers.ClassStatus, "status 500, wanted 200-299$"},
		{"stalled", good, m{"path": "/stalled"}, checkers.OutcomeFail, checkers.ClassStalled, "connected, but no answer within " + within},
		{"stalled in the body", good, m{"path": "/half"}, checkers.OutcomeFail, checkers.ClassStalled, "status 200, but no end of the body within " + within},
		{"stream reset", good, m{"path": "/gone"}, checkers.OutcomeFail, checkers.ClassProtocol, "H3_"},
		{"long header", good, m{"path": "/header"}, checkers.OutcomeFail, checkers.ClassProtocol, "too large|exceed|header"},
		{"flood", good, m{"path": "/flood", "expect": m{"body": "y"}}, checkers.OutcomeFail, checkers.ClassContent, `\(65536 bytes read\)$`},
		{"wrong name", good, m{"sni": "other.example"}, checkers.OutcomeFail, checkers.ClassTLS, "valid for shop.example, not other.example$"},
		{"self-signed", good, m{"ca_file": expired.certFile}, checkers.OutcomeFail, checkers.ClassTLS, "signed by unknown authority"},
		{"pinned to another", good, m{"fingerprint": fingerprintOf(expired)}, checkers.OutcomeFail, checkers.ClassTLS, "the certificate's fingerprint is [0-9a-f]{64}, not the one that is wanted$"},
		{"expired", old, m{"ca_file": expired.certFile}, checkers.OutcomeFail, checkers.ClassTLS, "x509: certificate has expired or is not yet valid"},
		{"another protocol", other, m{}, checkers.OutcomeFail, checkers.ClassTLS, "the server refused the handshake: .*no application protocol"},
		{"mute", mute, m{}, checkers.OutcomeFail, checkers.ClassStalled, "connected, but no answer within " + within},
		{"closes", closes, m{}, checkers.OutcomeFail, checkers.ClassProtocol, "go away"},
		{"silent", silent, m{}, checkers.OutcomeFail, checkers.ClassTimeout, "no connection within " + within},
		{"no QUIC", liar, m{}, checkers.OutcomeFail, checkers.ClassTimeout, "no connection within " + within},
		{"refused", refused, m{}, checkers.OutcomeFail, checkers.ClassRefused, "connection refused$"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.options["ca_file"] == nil {
				test.options["ca_file"] = id.certFile
			}
			timeout := 10 * time.Second
			if test.class == checkers.ClassStalled || test.class == checkers.ClassTimeout {
				timeout = stallLimit
			}
			got := checkFor(t, timeout, must(t, "http3", test.options), test.target)
			if got.Outcome != test.outcome || got.Class != test.class || !regexp.MustCompile(test.message).MatchString(got.Message) {
				t.Errorf("got %+v\nwant %s, %s, %q", got, test.outcome, test.class, test.message)
			}
		})
	}
}
