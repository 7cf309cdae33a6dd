// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// sip passes when a server answers OPTIONS with an expected status (RFC 3261
// section 11).
type sip struct {
	talker
	udp    dialFunc // nil: over TCP or TLS
	uri    string   // empty: sip: and the target
	status ranges
}

func sipOptions() []Option {
	return append([]Option{
		{Name: "transport", Form: FormText, Default: "udp", Values: []string{"udp", "tcp"}, Doc: "What the request goes over; tls: true takes tcp."},
		{Name: "uri", Form: FormText, Doc: "Whom to ask, as sip:name@host; without it the server's address."},
		{Name: "status", Form: FormList, Default: `["200-299"]`, Doc: "The statuses that pass, from 200 on: single ones and ranges."},
	}, inTLS()...)
}

func newSIP(env Env, o *options) checkers.Checker {
	s := &sip{
		talker: talker{env.Dialer.Dial, readTLSFlag(o, "")},
		uri:    o.text("uri", ""),
		status: readStatus(o, "status", ranges{{200, 299}}),
	}
	if o.choice("transport", "udp", "udp", "tcp") == "udp" {
		s.udp = env.Dialer.DialUDP
	}
	if s.secure != nil && s.udp != nil {
		if _, ok := o.values["transport"]; ok {
			o.reject([]string{"transport"}, "tls: true is over tcp: remove one of the two")
		}
		s.udp = nil
	}
	scheme, rest, _ := strings.Cut(s.uri, ":")
	if s.uri != "" && (scheme != "sip" && scheme != "sips" || rest == "" || strings.ContainsFunc(s.uri, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == 0x7f })) {
		o.reject([]string{"uri"}, "%q is not the address of a telephone: write it as sip:name@host", s.uri)
	}
	return s
}

// Check implements Checker.
func (s *sip) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a, call := newAttempt(ctx, "sip "+target.String()), rand.Text()
	if s.udp != nil {
		q := inquiry{s.udp, "answers came, but none to this request: no other"}
		return q.put(ctx, a, target, func(local net.Addr) []byte { return s.request("UDP", local, target, call) },
			func(answer []byte) (checkers.Result, bool) {
				status, ours, err := sipAnswer(bufio.NewReader(bytes.NewReader(answer)), call)
				if err != nil || !ours || status < 200 {
					return checkers.Result{}, false
				}
				return s.judge(a, status), true
			})
	}
	return s.with(ctx, a, target, func(t *dialog) checkers.Result {
		transport := "TCP"
		if t.inside != nil {
			transport = "TLS"
		}
		if err := t.send(s.request(transport, t.conn.LocalAddr(), target, call)); err != nil {
			return t.lost(err, "the request was not taken")
		}
		for { // interim answers end with maxTalk
			status, ours, err := sipAnswer(t.r, call)
			if err != nil {
				return t.lost(err, "no answer")
			}
			if ours && status >= 200 {
				return s.judge(t.attempt, status)
			}
			t.step("status %d", status)
		}
	})
}

func (s *sip) judge(a attempt, status int) checkers.Result {
	if !s.status.contain(status) {
		return a.fail(checkers.ClassStatus, "status %d, wanted %s", status, s.status)
	}
	return a.pass("status %d", status)
}

// request makes a request that no other is like. A server may send the answer
// to where the request came from (rport, RFC 3581).
func (s *sip) request(transport string, local net.Addr, target netip.AddrPort, call string) []byte {
	uri := s.uri
	if uri == "" {
		uri = "sip:" + target.String()
	}
	const magic = "z9hG4bK" // begins every branch: RFC 3261 section 8.1.1.7
	return fmt.Appendf(nil, "OPTIONS %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=%s%s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:maitred@%s>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContact: <sip:maitred@%s>\r\n"+
		"Accept: application/sdp\r\nUser-Agent: maitred\r\nContent-Length: 0\r\n\r\n",
		uri, transport, local, magic, call, local, call[:8], uri, call, local)
}

// sipAnswer reads an answer with its body and tells whether it is that to a call.
func sipAnswer(r *bufio.Reader, call string) (status int, ours bool, err error) {
	text := textproto.NewReader(r)
	line, err := text.ReadLine()
	if err != nil {
		return 0, false, err
	}
	alien := found(checkers.ClassProtocol, "the server does not speak SIP: it answers %q", checkers.Clip(line, 60))
	words := strings.SplitN(line, " ", 3)
	if len(words) < 2 || words[0] != "SIP/2.0" || len(words[1]) != 3 {
		return 0, false, alien
	}
	if status, err = strconv.Atoi(words[1]); err != nil {
		return 0, false, alien
	}
	header, err := text.ReadMIMEHeader()
	if err != nil {
		return 0, false, err
	}
	id := header.Get("Call-Id")
	if id == "" {
		id = header.Get("I") // the compact form
	}
	size, _ := strconv.Atoi(header.Get("Content-Length") + header.Get("L")) // none: no body
	if size < 0 || size > maxTalk {
		return 0, false, errFlood
	}
	_, err = r.Discard(size)
	return status, id == call, err
}
