// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// text is what the apologies say, where their protocol lets them.
const text = "Closed until nine o'clock"

// apologies are services of all protocols but HTTP.
func apologies() []service {
	in := func(protocol string) string { return "protocol: " + protocol }
	say := func(protocol string) string { return fmt.Sprintf("protocol: %s, text: %q", protocol, text) }
	return []service{
		{name: "tls", port: 443, page: in("tls")},
		{name: "h2c", port: 8081, page: in("h2c") + fmt.Sprintf(", status: 503, body: %q", text)},
		{name: "grpc", port: 50051, page: say("grpc")},
		{name: "smtp", port: 25, page: say("smtp")},
		{name: "submission", port: 587, page: say("submission")},
		{name: "imap", port: 143, page: say("imap")},
		{name: "pop3", port: 110, page: say("pop3")},
		{name: "ftp", port: 21, page: say("ftp")},
		{name: "nntp", port: 119, page: say("nntp")},
		{name: "mysql", port: 3306, page: say("mysql")},
		{name: "postgres", port: 5432, page: say("postgres")},
		{name: "redis", port: 6379, page: say("redis")},
		{name: "memcached", port: 11211, page: say("memcached")},
		{name: "ldap", port: 389, page: say("ldap")},
		{name: "dns-tcp", port: 53, page: in("dns")},
		{name: "dns-udp", port: 53, udp: true, page: in("dns")},
		{name: "refused", port: 9999, udp: true, page: in("unreachable")},
		{name: "raw", port: 7000, page: fmt.Sprintf("protocol: raw, bytes: %q", text)},
	}
}

// asker is a program that asks a service for something, and what it says of the
// apology: the protocol's own word for it, and not a mere end of the connection.
type asker struct {
	name    string
	service string
	program []string // HOST, [HOST] and PORT stand for the service's
	says    []string
	well    bool // it takes the apology for an answer and not for a failure
}

func askers() []asker {
	words := strings.Fields
	python := func(what string) []string { return []string{"python3", "ask.py", what, "HOST", "PORT"} }
	psql := func(sslmode string) []string {
		return []string{"psql", "host=HOST port=PORT user=a dbname=b sslmode=" + sslmode, "-c", "select 1"}
	}
	dig := func(options string) []string {
		return words("dig @HOST -p PORT example.com +tries=1 +time=10 " + options)
	}
	mail := "swaks --server [HOST] --port PORT --from a@example.com --to b@example.com --timeout 20"
	return []asker{
		{name: "openssl", service: "tls", program: words("openssl s_client -connect [HOST]:PORT"), says: []string{"alert internal error", "SSL alert number 80"}},
		{name: "openssl TLS 1.2", service: "tls", program: words("openssl s_client -tls1_2 -connect [HOST]:PORT"), says: []string{"SSL alert number 80"}},
		{name: "curl https", service: "tls", program: words("curl -sS -g -k --noproxy * https://[HOST]:PORT/"), says: []string{"alert internal error"}},
		{name: "python ssl", service: "tls", program: python("tls"), says: []string{"TLSV1_ALERT_INTERNAL_ERROR"}},
		{name: "curl h2c", service: "h2c", program: words("curl -sS -g -i --noproxy * --http2-prior-knowledge http://[HOST]:PORT/a"), says: []string{"HTTP/2 503", text}, well: true},
		{name: "node h2c", service: "h2c", program: words("node h2c.js http://[HOST]:PORT"), says: []string{"503", text}, well: true},
		{name: "swaks", service: "smtp", program: words(mail), says: []string{"421 4.3.2 " + text}},
		{name: "python smtplib", service: "smtp", program: python("smtp"), says: []string{"SMTPConnectError", "421", text}},
		{name: "swaks submission", service: "submission", program: words(mail), says: []string{"421 4.3.2 " + text}},
		{name: "python imaplib", service: "imap", program: python("imap"), says: []string{"* BYE [UNAVAILABLE] " + text}},
		{name: "python poplib", service: "pop3", program: python("pop3"), says: []string{"-ERR [SYS/TEMP] " + text}},
		{name: "python ftplib", service: "ftp", program: python("ftp"), says: []string{"error_temp", "421 " + text}},
		{name: "curl ftp", service: "ftp", program: words("curl -sS -v -g --noproxy * ftp://[HOST]:PORT/"), says: []string{"< 421 " + text}},
		{name: "perl Net::NNTP", service: "nntp", program: words("perl nntp.pl HOST PORT"), says: []string{"400 " + text}},
		{name: "mariadb", service: "mysql", program: words("mariadb --protocol=tcp -h HOST -P PORT -u a -e select"), says: []string{"1040", text}},
		{name: "mariadb in the clear", service: "mysql", program: words("mariadb --skip-ssl --protocol=tcp -h HOST -P PORT -u a -e select"), says: []string{"ERROR 1040", text}},
		{name: "psql prefer", service: "postgres", program: psql("prefer"), says: []string{"FATAL:  " + text}},
		{name: "psql disable", service: "postgres", program: psql("disable"), says: []string{"FATAL:  " + text}},
		{name: "psql require", service: "postgres", program: psql("require"), says: []string{"server does not support SSL"}},
		{name: "redis-cli", service: "redis", program: words("redis-cli -e -h HOST -p PORT GET a"), says: []string{"ERR " + text}},
		{name: "redis-cli RESP3", service: "redis", program: words("redis-cli -e -3 -h HOST -p PORT GET a"), says: []string{"ERR " + text}},
		{name: "memcached", service: "memcached", program: python("memcached"), says: []string{"SERVER_ERROR " + text}, well: true},
		{name: "ldapsearch", service: "ldap", program: words("ldapsearch -x -H ldap://[HOST]:PORT -b dc=example"), says: []string{"Server is unavailable (52)", text}},
		{name: "dig", service: "dns-udp", program: dig(""), says: []string{"status: SERVFAIL", "example.com."}, well: true},
		{name: "dig without EDNS", service: "dns-udp", program: dig("+noedns"), says: []string{"status: SERVFAIL"}, well: true},
		{name: "dig TCP", service: "dns-tcp", program: dig("+tcp"), says: []string{"status: SERVFAIL", "example.com."}, well: true},
		{name: "python UDP", service: "refused", program: python("udp"), says: []string{"ConnectionRefusedError"}},
		{name: "python raw", service: "raw", program: python("raw"), says: []string{text}, well: true},
	}
}

// TestApologies has a program of every protocol show the protocol's own error.
func TestApologies(t *testing.T) {
	for _, attach := range []string{"tc", "xdp"} {
		t.Run(attach, func(t *testing.T) {
			s := newStage(t, attach, apologies()...)
			for _, vip := range addresses() {
				t.Run("go grpc/"+vip.String(), func(t *testing.T) {
					s.unhurt(t, func() { s.wantUnavailable(t, netip.AddrPortFrom(vip, portOf(t, "grpc"))) })
				})
			}
			for _, a := range askers() {
				for _, vip := range addresses() {
					t.Run(fmt.Sprintf("%s/%s", a.name, vip), func(t *testing.T) {
						s.unhurt(t, func() { a.wantApology(t, s, netip.AddrPortFrom(vip, portOf(t, a.service))) })
					})
				}
			}
		})
	}
}

func portOf(t *testing.T, name string) uint16 {
	t.Helper()
	for _, v := range apologies() {
		if v.name == name {
			return v.port
		}
	}
	t.Fatalf("no service %s", name)
	return 0
}

func (a asker) wantApology(t *testing.T, s *stage, at netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bracketed := strings.TrimSuffix(at.String(), ":"+strconv.Itoa(int(at.Port())))
	places := strings.NewReplacer("[HOST]", bracketed, "HOST", at.Addr().String(), "PORT", strconv.Itoa(int(at.Port())))
	program := make([]string, len(a.program))
	for i, word := range a.program {
		program[i] = places.Replace(word)
	}
	began := time.Now()
	answer := s.ask(ctx, program...)
	took := time.Since(began).Round(time.Millisecond)
	if ctx.Err() != nil {
		t.Fatalf("no end after %v: %s", took, answer.both())
	}
	if (answer.ended == nil) != a.well {
		t.Errorf("ended with %v", answer.ended)
	}
	for _, says := range a.says {
		if !strings.Contains(answer.both(), says) {
			t.Errorf("does not say %q", says)
		}
	}
	t.Logf("%v: %s", took, strings.TrimSpace(answer.both()))
}
