// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// serveUDP answers datagrams until the test ends; nil answers nothing.
func serveUDP(t testing.TB, answer func(question []byte) [][]byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, a := range answer(append([]byte(nil), buffer[:n]...)) {
				_, _ = conn.WriteTo(a, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

// closedUDP is a port on loopback that nobody listens on.
func closedUDP(t testing.TB) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

func TestUDP(t *testing.T) {
	echo := serveUDP(t, func(q []byte) [][]byte { return [][]byte{q} })
	silent := serveUDP(t, func([]byte) [][]byte { return nil })
	closed := closedUDP(t)
	for _, test := range []struct {
		name    string
		target  netip.AddrPort
		options m
		class   checkers.Class
		message string
	}{
		{"any answer", echo, nil, checkers.ClassNone, "an answer of 0 bytes"},
		{"text", echo, m{"payload": "ping", "expect": "in"}, checkers.ClassNone, "an answer of 4 bytes"},
		{"hex", echo, m{"payload_hex": "0a:1B ff", "expect_hex": "?a 1? ??"}, checkers.ClassNone, "an answer of 3 bytes"},
		{"other text", echo, m{"payload": "ping", "expect": "pong"}, checkers.ClassContent, `"pong" is not in the answer, "ping"`},
		{"other hex", echo, m{"payload_hex": "0a1b", "expect_hex": "0b ??"}, checkers.ClassContent, "the answer begins with 0a 1b, wanted 0b ??"},
		{"shorter than expected", echo, m{"payload_hex": "0a", "expect_hex": "0a 0b"}, checkers.ClassContent, "the answer begins with 0a, wanted 0a 0b"},
		{"silence", silent, nil, checkers.ClassTimeout, "no answer within LIMIT"},
		{"silence passes", silent, m{"silence": "pass", "wait": "20ms"}, checkers.ClassNone, "no word that it is gone"},
		{"silence passes up to the deadline", silent, m{"silence": "pass", "wait": "1h"}, checkers.ClassNone, "no word that it is gone"},
		{"nobody listens", closed, nil, checkers.ClassRefused, "connection refused"},
		{"nobody listens, silence passes", closed, m{"silence": "pass"}, checkers.ClassRefused, "connection refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := 10 * time.Second
			if test.target == silent {
				timeout = 100 * time.Millisecond
			}
			wantResult(t, checkFor(t, timeout, must(t, "udp", test.options), test.target), test.class, fmt.Sprintf("udp %s: %s", test.target, test.message))
		})
	}
}

func TestUDPCalledOff(t *testing.T) {
	for _, silence := range []string{"fail", "pass"} {
		ctx, cancel := context.WithCancel(t.Context())
		target := serveUDP(t, func([]byte) [][]byte { cancel(); return nil })
		r := must(t, "udp", m{"silence": silence, "wait": "1h"}).Check(ctx, target)
		if r.Outcome != checkers.OutcomeUnknown || r.Class != checkers.ClassLocal {
			t.Errorf("silence %s: %+v", silence, r)
		}
	}
}
