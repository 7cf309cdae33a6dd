// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred-lb/maitred/checkers"
)

// serveEcho greets and sends back what it is sent; other paths are sick.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/none":
		http.NotFound(w, r)
		return
	case "/page":
		_, _ = io.WriteString(w, "<html>")
		return
	case "/moved":
		http.Redirect(w, r, "/", http.StatusFound)
		return
	case "/stalled":
		<-r.Context().Done()
		return
	}
	if user, password, _ := r.BasicAuth(); r.URL.Path == "/secret" && user+password != "shoppw" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch r.URL.Path {
	case "/flood":
		for conn.Write(ctx, websocket.MessageText, make([]byte, 16<<10)) == nil {
		}
	case "/large":
		_ = conn.Write(ctx, websocket.MessageText, make([]byte, 2*maxExpect))
	case "/bye":
		_ = conn.Close(websocket.StatusGoingAway, "bye")
		return
	}
	_ = conn.Write(ctx, websocket.MessageText, []byte("hello"))
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil || conn.Write(ctx, kind, append([]byte("you said "), message...)) != nil {
			return
		}
	}
}

func TestWebSocket(t *testing.T) {
	id := newIdentity(t, time.Now().Add(240*time.Hour), "127.0.0.1")
	plain := serveHTTP(t, serveEcho)
	https := httptest.NewUnstartedServer(http.HandlerFunc(serveEcho))
	https.TLS = &tls.Config{Certificates: []tls.Certificate{id.pair}}
	https.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what is tested
	https.StartTLS()
	t.Cleanup(https.Close)
	secure := netip.MustParseAddrPort(https.Listener.Addr().String())
	auth := writeFile(t, "file", "shop:pw\n")
	lying := serve(t, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: bGllcw==\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
	closes := serve(t, func(conn net.Conn) { readRequest(conn) })
	header := serve(t, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nA: "+strings.Repeat("x", 2*maxHeader))
	})
	pass, fail := checkers.OutcomePass, checkers.OutcomeFail
	for _, test := range []struct {
		name    string
		target  netip.AddrPort
		options m
		outcome checkers.Outcome
		class   checkers.Class
		message string // matches
	}{
		{"handshake", plain, m{}, pass, checkers.ClassNone, "a WebSocket$"},
		{"greeting", plain, m{"expect_regex": "^hello$"}, pass, checkers.ClassNone, "a WebSocket$"},
		{"dialogue", plain, m{"path": "/chat?room=1", "send": "hi", "expect_regex": "said hi"}, pass, checkers.ClassNone, "/chat: a WebSocket$"},
		{"subprotocol", plain, m{"subprotocols": []any{"amqp", "mqtt"}}, pass, checkers.ClassNone, "a WebSocket$"},
		{"authorized", plain, m{"path": "/secret", "auth_file": auth}, pass, checkers.ClassNone, "a WebSocket$"},
		{"TLS", secure, m{"tls": true, "ca_file": id.certFile, "send": "hi", "expect_regex": "said hi"}, pass, checkers.ClassNone, "^wss://.*a WebSocket$"},
		{"ends soon", secure, m{"tls": true, "ca_file": id.certFile, "expires_within": "14d"}, checkers.OutcomeDegraded, checkers.ClassNone, "a WebSocket, but its certificate ends on [0-9-]+: renew it$"},
		{"self-signed", secure, m{"tls": true}, fail, checkers.ClassTLS, "signed by unknown authority"},
		{"no TLS", plain, m{"tls": true}, fail, checkers.ClassTLS, "the server does not speak TLS on this port$"},
		{"other subprotocol", plain, m{"subprotocols": []any{"amqp"}}, fail, checkers.ClassProtocol, `the server chose none of the subprotocols \["amqp"\]$`},
		{"unauthorized", plain, m{"path": "/secret"}, fail, checkers.ClassStatus, "status 401, wanted 101$"},
		{"404", plain, m{"path": "/none"}, fail, checkers.ClassStatus, "status 404, wanted 101$"},
		{"a page", plain, m{"path": "/page"}, fail, checkers.ClassStatus, "status 200, wanted 101$"},
		{"redirect", plain, m{"path": "/moved"}, fail, checkers.ClassStatus, `status 302 \(to /\), wanted 101$`},
		{"stalled", plain, m{"path": "/stalled"}, fail, checkers.ClassStalled, "connected, but no answer within [0-9.]+m?s$"},
		{"other message", plain, m{"expect_regex": "^bye$"}, fail, checkers.ClassStalled, `no message that matches "\^bye\$" but "hello" within [0-9.]+m?s$`},
		{"closed", plain, m{"path": "/bye", "expect_regex": "hello"}, fail, checkers.ClassProtocol, `reason = "bye"`},
		{"large message", plain, m{"path": "/large", "expect_regex": "hello"}, fail, checkers.ClassProtocol, "limit"},
		{"flood of messages", plain, m{"path": "/flood", "expect_regex": "hello"}, fail, checkers.ClassContent, `no message matches "hello" within the first 65536 bytes$`},
		{"lying", lying, m{}, fail, checkers.ClassProtocol, "Sec-WebSocket-Accept"},
		{"closes", closes, m{}, fail, checkers.ClassProtocol, "the server closed the connection before the end of its answer$"},
		{"long header", header, m{}, fail, checkers.ClassProtocol, "the answer's header is longer than 65536 bytes$"},
		{"refused", freePort(t), m{}, fail, checkers.ClassRefused, "connection refused$"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if test.class == checkers.ClassStalled {
				timeout = stallLimit
			}
			got := checkFor(t, timeout, must(t, "websocket", test.options), test.target)
			if got.Outcome != test.outcome || got.Class != test.class || !regexp.MustCompile(test.message).MatchString(got.Message) {
				t.Errorf("got %+v\nwant %s, %s, %q", got, test.outcome, test.class, test.message)
			}
		})
	}
}

// TestWebSocketLeaves: the check takes its leave as RFC 6455 wants.
func TestWebSocketLeaves(t *testing.T) {
	ends := make(chan error, 1)
	server := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err == nil {
			_, _, err = conn.Read(r.Context())
		}
		ends <- err
	})
	wantResult(t, checkFor(t, 10*time.Second, must(t, "websocket", nil), server), checkers.ClassNone, fmt.Sprintf("ws://%s/: a WebSocket", server))
	if err := <-ends; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the server saw %v", err)
	}
}

func TestWebSocketMistakes(t *testing.T) {
	for _, test := range []mistakeTest{
		{"subprotocol", "websocket", m{"subprotocols": []any{"a b"}}, []string{`subprotocols[0]: "a b" is not the name of a subprotocol`}},
		{"options of TLS without it", "websocket", m{"verify": false}, []string{"verify: has no effect without TLS: set tls: true"}},
	} {
		t.Run(test.name, test.run)
	}
}
