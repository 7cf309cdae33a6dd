// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

const okHeader = "HTTP/1.1 200 OK\r\nContent-Length: "

// TestHTTPAnswers checks servers that answer these bytes to any request and
// close the connection.
func TestHTTPAnswers(t *testing.T) {
	body := func(text string) string { return fmt.Sprintf("%s%d\r\n\r\n%s", okHeader, len(text), text) }
	tests := []struct {
		name    string
		options m
		pieces  []string // of the answer, each sent by itself
		class   checkers.Class
		message string
	}{
		{"good", nil, []string{body("fine")}, checkers.ClassNone, "status 200"},
		{"in single bytes", m{"expect": m{"body": "fine"}}, strings.Split(body("all fine now"), ""), checkers.ClassNone, "status 200"},
		{"chunked", m{"expect": m{"body": "fine"}}, []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n", "2\r\nne\r\n0\r\n\r\n"}, checkers.ClassNone, "status 200"},
		{"until the end of the connection", m{"expect": m{"body": "fine"}}, []string{"HTTP/1.0 200 OK\r\n\r\nfi", "ne"}, checkers.ClassNone, "status 200"},
		{"after interim answers", nil, []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + body("")}, checkers.ClassNone, "status 200"},
		{"no content", nil, []string{"HTTP/1.1 204 No Content\r\n\r\n"}, checkers.ClassNone, "status 204"},
		{"HEAD", m{"method": "HEAD"}, []string{okHeader + "1000\r\n\r\n"}, checkers.ClassNone, "status 200"},
		{"wanted status", m{"expect": m{"status": []any{"200", 503}}}, []string{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"}, checkers.ClassNone, "status 503"},
		{"text at the limit", m{"expect": m{"body": "fine"}}, []string{body(strings.Repeat("x", maxBody-4) + "fine" + "more")}, checkers.ClassNone, "status 200"},

		{"status", nil, []string{"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"}, checkers.ClassStatus, "status 503, wanted 200-299"},
		{"other status", m{"expect": m{"status": []any{204, "300-399"}}}, []string{body("")}, checkers.ClassStatus, "status 200, wanted 204, 300-399"},
		{"redirect", nil, []string{"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"}, checkers.ClassStatus, "status 302 (to /login), wanted 200-299"},
		{"text missing", m{"expect": m{"body": "fine"}}, []string{body("all bad")}, checkers.ClassContent, `status 200, but "fine" is not in the body (7 bytes read)`},
		{"text beyond the limit", m{"expect": m{"body": "fine"}}, []string{body(strings.Repeat("x", maxBody-3) + "fine")}, checkers.ClassContent, `status 200, but "fine" is not in the body (65536 bytes read)`},
		{"another protocol", nil, []string{"SSH-2.0-OpenSSH_9.2p1\r\n"}, checkers.ClassProtocol, `malformed HTTP response "SSH-2.0-OpenSSH_9.2p1"`},
		{"no answer", nil, nil, checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
		{"half a header", nil, []string{"HTTP/1.1 200 OK\r\nServer: n"}, checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
		{"half a body", nil, []string{okHeader + "9\r\n\r\nfine"}, checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
		{"endless header", nil, []string{"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2*maxHeader)}, checkers.ClassProtocol, "the answer's header is longer than 65536 bytes"},
		{"endless interim answers", nil, []string{strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxHeader/10)}, checkers.ClassProtocol, "the answer's header is longer than 65536 bytes"},
		{"nasty text", nil, []string{"HTTP/1.1 302 Found\r\nLocation: \xff\t/a\r\nContent-Length: 0\r\n\r\n"}, checkers.ClassStatus, "status 302 (to \ufffd?/a), wanted 200-299"},
		{"control characters", nil, []string{"HTTP/1.1 302 Found\r\nLocation: \x1b[31m\r\n\r\n"}, checkers.ClassProtocol, `malformed MIME header line: "Location: \x1b[31m"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				readRequest(conn)
				for _, piece := range test.pieces {
					_, _ = io.WriteString(conn, piece) // the check may have seen enough
				}
			})
			result := checkFor(t, 10*time.Second, mustHTTP(t, Dialer{}.Dial, "http", test.options), server)
			method := http.MethodGet
			if test.options["method"] != nil {
				method = http.MethodHead
			}
			wantResult(t, result, test.class, fmt.Sprintf("%s http://%s/: %s", method, server, test.message))
		})
	}
}

// TestHTTPStalls checks servers that stop in the middle. Each accepted the
// connection, and yet it is a timeout.
func TestHTTPStalls(t *testing.T) {
	tests := []struct{ name, answer, message string }{
		{"before the answer", "", "connected, but no answer within LIMIT"},
		{"in the header", "HTTP/1.1 200 OK\r\nSer", "connected, but no answer within LIMIT"},
		{"in the body", okHeader + "9\r\n\r\nfine", "status 200, but no end of the body within LIMIT"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			closed := make(chan error, 1)
			server := serve(t, func(conn net.Conn) {
				readRequest(conn)
				_, _ = io.WriteString(conn, test.answer)
				_, err := conn.Read(make([]byte, 1))
				closed <- err
			})
			result := checkFor(t, 500*time.Millisecond, mustHTTP(t, Dialer{}.Dial, "http", nil), server)
			wantResult(t, result, checkers.ClassStalled, fmt.Sprintf("GET http://%s/: %s", server, test.message))
			if err := <-closed; !errors.Is(err, io.EOF) {
				t.Errorf("the server saw %v at the end; want a FIN, since bytes were exchanged", err)
			}
		})
	}
}

// TestHTTPReset proves that a server that resets what it accepted still talks:
// its other connections are worth keeping.
func TestHTTPReset(t *testing.T) {
	server := serve(t, func(conn net.Conn) {
		readRequest(conn)
		abort(conn)
	})
	result := checkFor(t, 10*time.Second, mustHTTP(t, Dialer{}.Dial, "http", nil), server)
	wantResult(t, result, checkers.ClassProtocol, fmt.Sprintf("GET http://%s/: %s", server, syscall.ECONNRESET))
}

func TestHTTPCalledOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(conn net.Conn) {
		readRequest(conn)
		cancel()
		_, _ = conn.Read(make([]byte, 1))
	})
	result := mustHTTP(t, Dialer{}.Dial, "http", nil).Check(ctx, server)
	if result.Outcome != checkers.OutcomeUnknown || result.Class != checkers.ClassLocal {
		t.Errorf("got %+v", result)
	}
}

// TestHTTPRequest reads what arrives at the server, byte for byte.
func TestHTTPRequest(t *testing.T) {
	tests := []struct {
		name    string
		options m
		want    string
	}{
		{"plain", nil, "GET / HTTP/1.1\r\nHost: TARGET\r\nUser-Agent: maitred\r\nConnection: close\r\n\r\n"},
		{
			"all options",
			m{"method": "HEAD", "path": "/a%20b?c", "host": "shop.example", "headers": []any{
				m{"name": "User-Agent", "value": "probe"},
				m{"name": "accept", "value": "text/html"},
				m{"name": "accept", "value": "text/plain"},
			}},
			"HEAD /a%20b?c HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: probe\r\nConnection: close\r\nAccept: text/html\r\nAccept: text/plain\r\n\r\n",
		},
		{"path of two slashes", m{"path": "//x"}, "GET //x HTTP/1.1\r\nHost: TARGET\r\nUser-Agent: maitred\r\nConnection: close\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := make(chan string, 1)
			server := serve(t, func(conn net.Conn) {
				got <- readRequest(conn)
				_, _ = io.WriteString(conn, okHeader+"0\r\n\r\n")
			})
			result := checkFor(t, 10*time.Second, mustHTTP(t, Dialer{}.Dial, "http", test.options), server)
			if result.Outcome != checkers.OutcomePass || strings.Contains(result.Message, "?") {
				t.Errorf("got %+v, want a pass and no query in the message", result)
			}
			if got, want := <-got, strings.ReplaceAll(test.want, "TARGET", server.String()); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestHostOf(t *testing.T) {
	tests := []struct{ scheme, target, want string }{
		{"http", "192.0.2.1:80", "192.0.2.1"},
		{"http", "192.0.2.1:443", "192.0.2.1:443"},
		{"https", "192.0.2.1:443", "192.0.2.1"},
		{"https", "[2001:db8::1]:443", "[2001:db8::1]"},
		{"http", "[2001:db8::1]:8080", "[2001:db8::1]:8080"},
		{"http", "[fe80::1%eth0]:80", "[fe80::1]"},
		{"http", "[fe80::1%eth0]:81", "[fe80::1]:81"},
	}
	for _, test := range tests {
		t.Run(test.scheme+" "+test.target, func(t *testing.T) {
			if got := hostOf(test.scheme, netip.MustParseAddrPort(test.target)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestHTTPMessageLength proves that a long path leaves room for what went wrong.
func TestHTTPMessageLength(t *testing.T) {
	checker := mustHTTP(t, failing(asDialed(syscall.ECONNREFUSED)), "http", m{"path": "/" + strings.Repeat("a", 1000)})
	got := checker.Check(t.Context(), netip.MustParseAddrPort("192.0.2.1:80")).Message
	if len(got) > checkers.MaxMessage || !strings.HasSuffix(got, "aaa...: connection refused") {
		t.Errorf("got %q", got)
	}
}

// serve runs a server on loopback until the test ends.
func serve(t testing.TB, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l := listen(t)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.target
}

// readRequest reads the header of a request.
func readRequest(conn net.Conn) string {
	var text strings.Builder
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		text.WriteString(line)
		if err != nil || line == "\r\n" {
			return text.String()
		}
	}
}

// checkFor runs a check once.
func checkFor(t testing.TB, timeout time.Duration, checker checkers.Checker, target netip.AddrPort) checkers.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return checker.Check(ctx, target)
}

// wantResult wants a pass where class is none, and a failure else. In the
// message, LIMIT stands for the time until the deadline.
func wantResult(t testing.TB, got checkers.Result, class checkers.Class, message string) {
	t.Helper()
	outcome := checkers.OutcomeFail
	if class == checkers.ClassNone {
		outcome = checkers.OutcomePass
	}
	// On a busy machine the run begins some time after its deadline was set.
	got.Message = regexp.MustCompile(`within [0-9.]+m?s$`).ReplaceAllString(got.Message, "within LIMIT")
	if got.Outcome != outcome || got.Class != class || got.Message != message {
		t.Errorf("got  %s %s %q\nwant %s %s %q", got.Outcome, got.Class, got.Message, outcome, class, message)
	}
	if got.RTT <= 0 {
		t.Errorf("round-trip time %v", got.RTT)
	}
}
