// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// sipReply answers a request as a proxy does: it gives back what identifies it.
func sipReply(request, status, more string) string {
	reply := "SIP/2.0 " + status + "\r\n"
	for line := range strings.Lines(request) {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Via", "From", "To", "Call-ID", "CSeq":
			reply += line
		}
	}
	return reply + more + "\r\n"
}

// TestSIP asks fakes: what is tested is our side of RFC 3261.
func TestSIP(t *testing.T) {
	const ok = "200 OK"
	none64 := "Content-Length: 0\r\n"
	for _, test := range []struct {
		name    string
		options m
		answer  func(request string) []string
		outcome checkers.Outcome
		class   checkers.Class
		message string
	}{
		{"good", nil, func(r string) []string { return []string{sipReply(r, ok, none64)} }, pass, none, "status 200"},
		{"with a body", nil, func(r string) []string { return []string{sipReply(r, ok, "Content-Length: 5\r\n") + "hello"} }, pass, none, "status 200"},
		{"after interim answers", nil, func(r string) []string {
			return []string{sipReply(r, "100 Trying", none64), sipReply(r, "180 Ringing", none64), sipReply(r, ok, none64)}
		}, pass, none, "status 200"},
		{"after another's", nil, func(r string) []string {
			return []string{"SIP/2.0 500 Oops\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n", sipReply(r, ok, none64)}
		}, pass, none, "status 200"},
		{"compact", nil, func(r string) []string {
			return []string{strings.NewReplacer("Call-ID", "i", "Content-Length", "l").Replace(sipReply(r, ok, none64))}
		}, pass, none, "status 200"},
		{"unavailable", nil, func(r string) []string { return []string{sipReply(r, "503 Service Unavailable", none64)} }, failed, checkers.ClassStatus, "status 503, wanted 200-299"},
		{"wanted status", m{"status": []any{404}}, func(r string) []string { return []string{sipReply(r, "404 Not Found", none64)} }, pass, none, "status 404"},
		{"uri", m{"uri": "sip:ping@voice.example"}, func(r string) []string {
			if !strings.HasPrefix(r, "OPTIONS sip:ping@voice.example SIP/2.0\r\n") || !strings.HasSuffix(r, "\r\n\r\n") {
				return []string{sipReply(r, "400 Bad Request", none64)}
			}
			return []string{sipReply(r, ok, none64)}
		}, pass, none, "status 200"},
	} {
		for _, transport := range []string{"udp", "tcp"} {
			t.Run(test.name+" over "+transport, func(t *testing.T) {
				options := m{"transport": transport}
				for key, value := range test.options {
					options[key] = value
				}
				target := serveSIP(t, transport, test.answer)
				serverTest{"", options, test.outcome, test.class, test.message}.run(t, "sip", target)
			})
		}
	}
	testSick(t, "sip", m{"transport": "tcp"})
}

func TestSIPSick(t *testing.T) {
	for name, answer := range map[string]func(string) []string{
		"silent":         func(string) []string { return nil },
		"another's call": func(string) []string { return []string{"SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\n"} },
		"nonsense":       func(string) []string { return []string{"", "hello", "SIP/2.0", "SIP/2.0 abc\r\n\r\n"} },
	} {
		t.Run(name, func(t *testing.T) {
			target := serveSIP(t, "udp", answer)
			r := checkFor(t, 100*time.Millisecond, must(t, "sip", nil), target)
			if r.Outcome != failed || r.Class != checkers.ClassTimeout {
				t.Errorf("got %s %s %q, want a failure, timeout", r.Outcome, r.Class, r.Message)
			}
		})
	}
	t.Run("refuses", func(t *testing.T) {
		serverTest{"", nil, failed, checkers.ClassRefused, "connection refused"}.run(t, "sip", freePort(t))
	})
	t.Run("in TLS", func(t *testing.T) {
		id := newIdentity(t, time.Now().Add(time.Hour), "voice.example")
		target, _, _ := serveTLS(t, id, &tls.Config{})
		serverTest{"", m{"tls": true, "sni": "voice.example", "ca_file": id.certFile}, failed, checkers.ClassProtocol, `the server does not speak SIP: it answers "HTTP/1.1 200 OK"`}.run(t, "sip", target)
	})
	for _, test := range []mistakeTest{
		{"uri", "sip", m{"uri": "voice.example"}, []string{`uri: "voice.example" is not the address of a telephone: write it as sip:name@host`}},
		{"uri that smuggles", "sip", m{"uri": "sip:a\r\nb: c"}, []string{`uri: "sip:a\r\nb: c" is not the address of a telephone: write it as sip:name@host`}},
		{"TLS over UDP", "sip", m{"tls": true, "transport": "udp"}, []string{"transport: tls: true is over tcp: remove one of the two"}},
	} {
		t.Run(test.name, test.run)
	}
}

// serveSIP answers requests over one transport until the test ends.
func serveSIP(t *testing.T, transport string, answer func(request string) []string) netip.AddrPort {
	t.Helper()
	if transport == "tcp" {
		return serve(t, func(conn net.Conn) {
			for _, reply := range answer(readRequest(conn)) {
				_, _ = io.WriteString(conn, reply)
			}
			_, _ = io.Copy(io.Discard, conn)
		})
	}
	return serveUDP(t, func(request []byte) [][]byte {
		var replies [][]byte
		for _, reply := range answer(string(request)) {
			replies = append(replies, []byte(reply))
		}
		return replies
	})
}
