// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/maitred-lb/maitred/checkers"
)

// dnsCheck passes when the real server answers a question of DNS (RFC 1035) as
// is wanted: over UDP, TCP or TLS (RFC 7858).
type dnsCheck struct {
	env       Env
	transport string  // udp or tcp
	secure    *secure // of dot
	name      string
	sort      uint16
	rcode     int
	answers   int            // records at least, of the type that was asked for
	pattern   *regexp.Regexp // that the data of one of them must match
	recursion bool
}

// maxStray is how many messages a server may send that do not belong to the
// question, before it counts as flooding.
const maxStray = 1000

func dnsOptions() []Option {
	return append(dotOptions()[:len(dotOptions())-len(secureOptions())], Option{
		Name: "transport", Form: FormText, Default: "udp", Values: []string{"udp", "tcp"}, Doc: "By what to ask; inside TLS by the check dot.",
	})
}

func dotOptions() []Option {
	return append([]Option{
		{Name: "name", Form: FormText, Doc: "The name that is asked for: shop.example."},
		{Name: "type", Form: FormText, Default: "A", Doc: "The type of its records: A, AAAA, MX, SOA."},
		{Name: "rcode", Form: FormText, Default: "NOERROR", Doc: "The code that the answer must have: NOERROR, NXDOMAIN, REFUSED."},
		{Name: "answers", Form: FormNumber, Default: "1", Doc: "With NOERROR: how many records of that type must be in the answer at least; 0 asks for none. An answer that is cut short, and says so, may have fewer."},
		{Name: "answer", Form: FormText, Doc: "A regular expression that the data of one of these records must match: ^192\\.0\\.2\\."},
		{Name: "recursion", Form: FormFlag, Default: "true", Doc: "Whether the server is asked to find out what it does not know itself."},
	}, secureOptions()...)
}

func newDNS(env Env, o *options) checkers.Checker {
	d := readDNS(env, o)
	d.transport = o.choice("transport", "udp", "udp", "tcp")
	return d
}

func newDoT(env Env, o *options) checkers.Checker {
	d := readDNS(env, o)
	d.transport, d.secure = "tcp", readSecure(o, "", "dot")
	return d
}

func readDNS(env Env, o *options) *dnsCheck {
	d := &dnsCheck{
		env: env, name: o.need("name"), pattern: o.pattern("answer"), answers: o.number("answers", 1, 0, 1000),
		recursion: o.flag("recursion", true),
	}
	if _, ok := dns.IsDomainName(d.name); !ok && d.name != "" {
		o.reject([]string{"name"}, "%q is not a name of DNS: labels of 1 to 63 bytes with dots between are right", d.name)
	}
	d.name = dns.Fqdn(d.name)
	var ok bool
	if d.sort, ok = dns.StringToType[strings.ToUpper(o.text("type", "A"))]; !ok {
		o.reject([]string{"type"}, "%q is not a type of record: write it as A, AAAA, MX or SOA", o.text("type", "A"))
	}
	if d.rcode, ok = dns.StringToRcode[strings.ToUpper(o.text("rcode", "NOERROR"))]; !ok {
		o.reject([]string{"rcode"}, "%q is not a code of an answer: write it as NOERROR, NXDOMAIN or REFUSED", o.text("rcode", "NOERROR"))
	}
	if d.pattern != nil && d.rcode != dns.RcodeSuccess {
		o.reject([]string{"answer"}, "cannot be in an answer with %s: remove one of the two", dns.RcodeToString[d.rcode])
	}
	return d
}

// Check implements Checker.
func (d *dnsCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	what := "dns "
	if d.secure != nil {
		what = "dot "
	}
	a := newAttempt(ctx, what+target.String())
	question := new(dns.Msg).SetQuestion(d.name, d.sort)
	question.RecursionDesired = d.recursion
	question.SetEdns0(dns.DefaultMsgSize, false)
	packed, err := question.Pack()
	if err != nil {
		return a.local(err)
	}
	dial := d.env.Dialer.Dial
	if d.transport == "udp" {
		dial = d.env.Dialer.DialUDP
	}
	conn, err := dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	if d.transport == "udp" {
		hearErrors(conn)
	}
	defer interrupt(ctx, conn)()
	if d.secure == nil {
		return d.ask(ctx, a, conn, question, packed)
	}
	inside, err := d.secure.handshake(a, conn, target)
	if err != nil {
		return a.broken(ctx, err, checkers.ClassTLS, "connected, but no TLS handshake")
	}
	defer farewell(ctx, inside)
	return d.secure.watch(d.ask(ctx, a, inside, question, packed), inside.ConnectionState())
}

// ask sends the question and waits for its answer. What belongs to another
// question is no answer: a socket that had the port before may have asked it, or
// somebody guesses.
func (d *dnsCheck) ask(ctx context.Context, a attempt, conn net.Conn, question *dns.Msg, packed []byte) checkers.Result {
	lost := checkers.ClassProtocol
	missing := "connected, but no answer"
	if d.transport == "udp" {
		lost, missing = checkers.ClassUnreachable, "no answer"
	}
	talk := &dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}
	if _, err := talk.Write(packed); err != nil {
		return a.broken(ctx, err, lost, missing)
	}
	a.step("asked %s %s", dns.TypeToString[d.sort], d.name)
	for range maxStray {
		answer, err := talk.ReadMsg()
		if answer == nil && err != nil {
			if damaged := new(dns.Error); errors.As(err, &damaged) {
				a.step("what came is no message of DNS: %v", err)
				lost, missing = checkers.ClassProtocol, "no answer but what is no message of DNS"
				continue
			}
			return a.broken(ctx, explainHTTP(err), lost, missing)
		}
		if err != nil && !answer.Truncated || !fits(answer, question) {
			a.step("what came is no answer to the question")
			lost, missing = checkers.ClassProtocol, "no answer but to other questions"
			continue
		}
		return d.judge(a, answer)
	}
	return a.fail(checkers.ClassProtocol, "%d messages, and no answer to the question", maxStray)
}

// fits tells whether a message answers a question.
func fits(answer, question *dns.Msg) bool {
	if !answer.Response || answer.Id != question.Id || answer.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(answer.Question) == 0 {
		return answer.Rcode != dns.RcodeSuccess // as some do that refuse
	}
	asked, echoed := question.Question[0], answer.Question[0]
	return len(answer.Question) == 1 && echoed.Qtype == asked.Qtype && echoed.Qclass == asked.Qclass && strings.EqualFold(echoed.Name, asked.Name)
}

func (d *dnsCheck) judge(a attempt, answer *dns.Msg) checkers.Result {
	code := dns.RcodeToString[answer.Rcode]
	if answer.Rcode != d.rcode {
		return a.fail(checkers.ClassStatus, "%s, wanted %s", code, dns.RcodeToString[d.rcode])
	}
	var data []string
	for _, r := range answer.Answer {
		if h := r.Header(); h.Rrtype == d.sort || d.sort == dns.TypeANY {
			data = append(data, strings.TrimPrefix(r.String(), h.String()))
		}
	}
	a.step("%s with %d records: %s", code, len(data), strings.Join(data, ", "))
	cut := ""
	if answer.Truncated {
		cut = ", cut short: transport: tcp has all"
	}
	switch {
	case d.rcode != dns.RcodeSuccess:
	case d.pattern != nil && !slices.ContainsFunc(data, d.pattern.MatchString):
		return a.fail(checkers.ClassContent, "none of %d records of type %s matches %q%s", len(data), dns.TypeToString[d.sort], d.pattern, cut)
	case len(data) < d.answers && !answer.Truncated:
		return a.fail(checkers.ClassContent, "%d records of type %s, wanted %d", len(data), dns.TypeToString[d.sort], d.answers)
	}
	return a.pass("%s, %d records%s", code, len(data), cut)
}
