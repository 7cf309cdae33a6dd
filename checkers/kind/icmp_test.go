// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/maitred-lb/maitred/checkers"
)

// mustIn makes a checker in an environment of its own, which ends with the test.
func mustIn(t testing.TB, kind string, values m) checkers.Checker {
	t.Helper()
	env := NewEnv(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	row, ok := NewTable(env).Lookup(kind)
	if !ok {
		t.Fatalf("there is no check %s", kind)
	}
	checker, err := row.New(values)
	if err != nil {
		t.Fatal(err)
	}
	return checker
}

// mayPing skips the test where the kernel lets nobody ping: without CAP_NET_RAW
// and outside net.ipv4.ping_group_range.
func mayPing(t *testing.T) (raw bool) {
	t.Helper()
	s, err := openEcho(true)
	if err != nil {
		t.Skipf("no socket for ICMP: %v", err)
	}
	defer func() { _ = s.conn.Close() }()
	return s.raw
}

func TestICMP(t *testing.T) {
	mayPing(t)
	for _, test := range []struct {
		name    string
		target  string
		options m
		message string
	}{
		{"IPv4", "127.0.0.1", nil, "ping 127.0.0.1: 1 of 1 requests answered"},
		{"IPv6", "::1", nil, "ping ::1: 1 of 1 requests answered"},
		{"several, large", "127.0.0.1", m{"count": 5, "replies": 5, "size": 9000}, "ping 127.0.0.1: 5 of 5 requests answered"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := netip.AddrPortFrom(netip.MustParseAddr(test.target), 0)
			wantResult(t, checkFor(t, 10*time.Second, mustIn(t, "icmp", test.options), target), checkers.ClassNone, test.message)
		})
	}
}

// TestICMPShared runs many checks at once, which share one socket: each gets its
// own replies.
func TestICMPShared(t *testing.T) {
	mayPing(t)
	checker := mustIn(t, "icmp", m{"count": 2, "replies": 2}).(*icmpCheck)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}), 0)
			if r := checkFor(t, 10*time.Second, checker, target); r.Outcome != checkers.OutcomePass {
				t.Errorf("%+v", r)
			}
		})
	}
	all.Wait()
	if n := len(checker.env.Echoes.sockets); n != 1 {
		t.Errorf("%d sockets, want 1", n)
	}
	if n := len(checker.env.Echoes.sockets[true].waiting); n != 0 {
		t.Errorf("%d requests still wait", n)
	}
}

// TestICMPSilence proves what becomes of a run whose requests are not answered.
func TestICMPSilence(t *testing.T) {
	mayPing(t)
	checker := mustIn(t, "icmp", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := checker.Check(ctx, netip.MustParseAddrPort("127.0.0.1:0"))
	if r.Outcome != checkers.OutcomeUnknown && r.Outcome != checkers.OutcomePass { // the reply may be there first
		t.Errorf("called off: %+v", r)
	}
	answers := make(chan echoAnswer, 3)
	c := &icmpCheck{count: 3, replies: 2}
	for _, test := range []struct {
		name    string
		answers []echoAnswer
		class   checkers.Class
		message string
	}{
		{"nothing", nil, checkers.ClassTimeout, "ping: no reply within LIMIT"},
		{"too few", []echoAnswer{{}}, checkers.ClassStalled, "ping: only 1 of the 2 replies that are wanted within LIMIT"},
		{"enough", []echoAnswer{{}, {errors.New("lost")}, {}}, checkers.ClassNone, "ping: 2 of 3 requests answered"},
		{"too many errors", []echoAnswer{{}, {&echoError{netip.MustParseAddr("192.0.2.1"), "host unreachable"}}, {&echoError{netip.MustParseAddr("192.0.2.1"), "host unreachable"}}},
			checkers.ClassUnreachable, "ping: 192.0.2.1 says: host unreachable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := 10 * time.Second
			if test.class == checkers.ClassTimeout || test.class == checkers.ClassStalled {
				timeout = 500 * time.Millisecond // enough to take what is there already
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			for _, a := range test.answers {
				answers <- a
			}
			wantResult(t, c.await(ctx, newAttempt(ctx, "ping"), answers), test.class, test.message)
		})
	}
}

// TestICMPMatching feeds messages: only what belongs to a request ends its wait.
func TestICMPMatching(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	for _, test := range []struct {
		name  string
		v4    bool
		from  netip.Addr
		make  func(s *echoSocket, e *echoRequest) icmp.Message
		heard bool
		err   string
	}{
		{"reply", true, four, func(s *echoSocket, e *echoRequest) icmp.Message {
			return reply(s, ipv4.ICMPTypeEchoReply, 1, e.token[:])
		}, true, ""},
		{"reply of IPv6", false, six, func(s *echoSocket, e *echoRequest) icmp.Message {
			return reply(s, ipv6.ICMPTypeEchoReply, 1, e.token[:])
		}, true, ""},
		{"from elsewhere", true, netip.MustParseAddr("192.0.2.8"), func(s *echoSocket, e *echoRequest) icmp.Message {
			return reply(s, ipv4.ICMPTypeEchoReply, 1, e.token[:])
		}, false, ""},
		{"other number", true, four, func(s *echoSocket, e *echoRequest) icmp.Message {
			return reply(s, ipv4.ICMPTypeEchoReply, 2, e.token[:])
		}, false, ""},
		{"other token", true, four, func(s *echoSocket, _ *echoRequest) icmp.Message {
			return reply(s, ipv4.ICMPTypeEchoReply, 1, make([]byte, 8))
		}, false, ""},
		{"no token", true, four, func(s *echoSocket, _ *echoRequest) icmp.Message { return reply(s, ipv4.ICMPTypeEchoReply, 1, nil) }, false, ""},
		{"of another program", true, four, func(_ *echoSocket, e *echoRequest) icmp.Message {
			return reply(&echoSocket{id: 9}, ipv4.ICMPTypeEchoReply, 1, e.token[:])
		}, false, ""},
		{"host unreachable", true, netip.MustParseAddr("192.0.2.1"), func(s *echoSocket, e *echoRequest) icmp.Message { return quoted4(s, e, 1) }, true, "192.0.2.1 says: host unreachable"},
		{"unreachable of another request", true, netip.MustParseAddr("192.0.2.1"), func(s *echoSocket, e *echoRequest) icmp.Message { return quoted4(s, e, 3) }, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			heard := make(chan echoAnswer, 1)
			target := six
			if test.v4 {
				target = four
			}
			s := &echoSocket{v4: test.v4, raw: true, id: 7, waiting: map[uint16]*echoRequest{}}
			e := &echoRequest{target: target, token: [8]byte{1, 2, 3}, heard: heard}
			s.waiting[1] = e
			message := test.make(s, e)
			packet, err := message.Marshal(nil)
			if err != nil {
				t.Fatal(err)
			}
			s.take(packet, test.from)
			s.take(packet, test.from) // twice: the second is nobody's
			for _, cut := range []int{0, 1, 7, len(packet) - 1} {
				s.take(packet[:cut], test.from)
			}
			select {
			case a := <-heard:
				if said := fmt.Sprint(a.err); !test.heard || said != cmp.Or(test.err, "<nil>") {
					t.Errorf("heard %v", a.err)
				}
			default:
				if test.heard {
					t.Error("heard nothing")
				}
			}
		})
	}
}

func reply(s *echoSocket, sort icmp.Type, seq int, data []byte) icmp.Message {
	return icmp.Message{Type: sort, Body: &icmp.Echo{ID: int(s.id), Seq: seq, Data: data}}
}

// quoted4 is an ICMP error about an echo request.
func quoted4(s *echoSocket, e *echoRequest, seq uint16) icmp.Message {
	head := make([]byte, 28)
	head[0], head[9] = 0x45, protocolICMP
	to := e.target.As4()
	copy(head[16:], to[:])
	head[20] = byte(ipv4.ICMPTypeEcho)
	binary.BigEndian.PutUint16(head[24:], s.id)
	binary.BigEndian.PutUint16(head[26:], seq)
	return icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: 1, Body: &icmp.DstUnreach{Data: head}}
}

func TestICMPAfterClose(t *testing.T) {
	mayPing(t)
	env := NewEnv(slog.New(slog.DiscardHandler))
	row, _ := NewTable(env).Lookup("icmp")
	checker, err := row.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Close(); err != nil {
		t.Fatal(err)
	}
	if r := checker.Check(t.Context(), netip.MustParseAddrPort("127.0.0.1:0")); r.Outcome != checkers.OutcomeUnknown {
		t.Errorf("%+v", r)
	}
	if r := must(t, "icmp", nil).Check(t.Context(), netip.MustParseAddrPort("127.0.0.1:0")); r.Outcome != checkers.OutcomeUnknown {
		t.Errorf("in an environment to look at: %+v", r)
	}
}

func TestNetOptionMistakes(t *testing.T) {
	for _, test := range []mistakeTest{
		{"icmp", "icmp", m{"count": 2, "replies": 3, "size": 1}, []string{
			"size: 1 is not a whole number from 8 to 9000", "replies: 3 is more than the 2 requests that count says"}},
		{"udp both", "udp", m{"payload": "a", "payload_hex": "00"}, []string{"payload_hex: stands beside payload: give one of the two"}},
		{"udp digits", "udp", m{"expect_hex": "0g"}, []string{"expect_hex: 'g' is not a digit: they are 0-9 and a-f, and ? for any"}},
		{"udp half a byte", "udp", m{"payload_hex": "012"}, []string{"payload_hex: has 3 digits: a byte takes two"}},
		{"udp silence", "udp", m{"expect": "a", "silence": "pass"}, []string{"silence: cannot pass where an answer is expected: remove one of the two"}},
		{"dns", "dns", m{"type": "HOST", "rcode": "FINE"}, []string{
			"name: is missing", `type: "HOST" is not a type of record: write it as A, AAAA, MX or SOA`,
			`rcode: "FINE" is not a code of an answer: write it as NOERROR, NXDOMAIN or REFUSED`}},
		{"dns name", "dns", m{"name": "a..b"}, []string{`name: "a..b" is not a name of DNS: labels of 1 to 63 bytes with dots between are right`}},
		{"dns answer", "dns", m{"name": "a", "rcode": "NXDOMAIN", "answer": "x"}, []string{"answer: cannot be in an answer with NXDOMAIN: remove one of the two"}},
		{"file", "file", m{"path": "a"}, []string{`path: "a" is not absolute: begin it with a slash`}},
		{"file missing", "file", m{"path": "/a", "missing": "down"}, []string{`missing: "down" is none of fail, pass, unknown, drain, maint`}},
		{"process", "process", nil, []string{"name: is missing: give it, or pidfile, or both"}},
		{"process path", "process", m{"name": "/bin/sh"}, []string{`name: "/bin/sh" holds a slash: write the last part alone`}},
	} {
		t.Run(test.name, test.run)
	}
}
