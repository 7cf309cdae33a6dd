// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/maitred-lb/maitred/checkers"
)

// stallLimit is the deadline of runs that get stuck after some talk, for which a
// busy machine needs time.
const stallLimit = time.Second

// serveH2C runs a handler that speaks HTTP/2 in the clear alone.
func serveH2C(t testing.TB, handler http.HandlerFunc) netip.AddrPort {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String())
}

func TestH2C(t *testing.T) {
	server := serveH2C(t, func(w http.ResponseWriter, r *http.Request) {
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
			_, _ = fmt.Fprintf(w, "%s %s %s %s %s", r.Proto, r.Method, r.Host, r.UserAgent(), body)
		}
	})
	for _, test := range []struct {
		name    string
		options m
		class   checkers.Class
		message string
	}{
		{"good", m{"host": "shop.example", "method": "POST", "body": "hi", "expect": m{"body": "HTTP/2.0 POST shop.example maitred hi"}}, checkers.ClassNone, "status 200"},
		{"text missing", m{"expect": m{"body": "fine"}}, checkers.ClassContent, `"fine" is not in the body`},
		{"status", m{"path": "/broken"}, checkers.ClassStatus, "status 500, wanted 200-299"},
		{"stalled", m{"path": "/stalled"}, checkers.ClassStalled, "connected, but no answer within "},
		{"stalled in the body", m{"path": "/half"}, checkers.ClassStalled, "status 200, but no end of the body within "},
		{"stream reset", m{"path": "/gone"}, checkers.ClassProtocol, "stream error: stream ID 1; INTERNAL_ERROR"},
		{"long header", m{"path": "/header"}, checkers.ClassProtocol, "connection error"},
		{"flood", m{"path": "/flood", "expect": m{"body": "y"}}, checkers.ClassContent, `"y" is not in the body (65536 bytes read)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.options["version"] = version2C
			timeout := 10 * time.Second
			if test.class == checkers.ClassStalled {
				timeout = stallLimit
			}
			got := checkFor(t, timeout, must(t, "http", test.options), server)
			if got.Class != test.class || !strings.Contains(got.Message, test.message) {
				t.Errorf("got %+v\nwant %s, %q", got, test.class, test.message)
			}
		})
	}
}

// TestH2CSick checks servers that do not speak HTTP/2, or badly.
func TestH2CSick(t *testing.T) {
	settings := func(conn net.Conn) *http2.Framer {
		_, _ = io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
		f := http2.NewFramer(conn, conn)
		_ = f.WriteSettings()
		return f
	}
	tests := []struct {
		name    string
		handle  func(net.Conn)
		class   checkers.Class
		message string
	}{
		{"HTTP/1.1", func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 24))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}, checkers.ClassProtocol, "HTTP/1.1"},
		{"silent", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, checkers.ClassStalled, "connected, but no answer within "},
		{"closes", func(conn net.Conn) { _, _ = io.ReadFull(conn, make([]byte, 100)) }, checkers.ClassProtocol, ""},
		{"settings alone", func(conn net.Conn) { settings(conn); _, _ = io.Copy(io.Discard, conn) }, checkers.ClassStalled, "connected, but no answer within "},
		{"goes away", func(conn net.Conn) {
			f := settings(conn)
			_ = f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
			_, _ = io.Copy(io.Discard, conn)
		}, checkers.ClassProtocol, ""},
		{"endless interim answers", func(conn net.Conn) {
			f := settings(conn)
			var block strings.Builder
			encoder := hpack.NewEncoder(&block)
			for {
				block.Reset()
				_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "103"})
				_ = encoder.WriteField(hpack.HeaderField{Name: "link", Value: strings.Repeat("x", 8<<10)})
				if f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true}) != nil {
					return
				}
			}
		}, checkers.ClassProtocol, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if test.class == checkers.ClassStalled {
				timeout = stallLimit
			}
			got := checkFor(t, timeout, must(t, "http", m{"version": version2C}), serve(t, test.handle))
			if got.Outcome != checkers.OutcomeFail || got.Class != test.class || !strings.Contains(got.Message, test.message) {
				t.Errorf("got %+v\nwant %s, %q", got, test.class, test.message)
			}
		})
	}
}

// TestH2Nginx checks a server of nginx that offers HTTP/2 inside TLS.
func TestH2Nginx(t *testing.T) {
	id := newIdentity(t, time.Now().Add(240*time.Hour), "shop.example", "127.0.0.1")
	_, secure := startNginx(t, findNginx(t), id)
	oldOnly, _, _ := serveTLS(t, id, &tls.Config{})
	for _, test := range []struct {
		name    string
		target  netip.AddrPort
		options m
		outcome checkers.Outcome
		class   checkers.Class
		message string // matches
	}{
		{"healthy", secure, m{"path": "/healthz", "expect": m{"body": "is well"}}, checkers.OutcomePass, checkers.ClassNone, "status 200$"},
		{"ends soon", secure, m{"path": "/healthz", "expires_within": "14d"}, checkers.OutcomeDegraded, checkers.ClassNone, "status 200, but its certificate ends on [0-9-]+: renew it$"},
		{"500", secure, m{"path": "/broken"}, checkers.OutcomeFail, checkers.ClassStatus, "status 500, wanted 200-299$"},
		{"stalled", secure, m{"path": "/stalled"}, checkers.OutcomeFail, checkers.ClassStalled, "connected, but no answer within "},
		{"wrong name", secure, m{"host": "other.example"}, checkers.OutcomeFail, checkers.ClassTLS, "valid for shop.example, not other.example$"},
		{"no HTTP/2", oldOnly, m{}, checkers.OutcomeFail, checkers.ClassTLS, `the server agreed to none of the protocols \["h2"\] \(ALPN\)$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.options["version"], test.options["ca_file"] = version2, id.certFile
			timeout := 10 * time.Second
			if test.class == checkers.ClassStalled {
				timeout = stallLimit
			}
			got := checkFor(t, timeout, must(t, "https", test.options), test.target)
			if got.Outcome != test.outcome || got.Class != test.class || !regexp.MustCompile(test.message).MatchString(got.Message) {
				t.Errorf("got %+v\nwant %s, %s, %q", got, test.outcome, test.class, test.message)
			}
		})
	}
}
