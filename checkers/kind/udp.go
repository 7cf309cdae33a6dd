// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/checkers"
)

// udpCheck passes when the real server answers a datagram, as far as UDP lets
// one know. A host says by ICMP that nobody listens on the port; but silence
// has many causes, one of them health, and counts as failure unless the operator
// says otherwise.
type udpCheck struct {
	dial    dialFunc
	payload []byte
	expect  []byte  // that the answer contains
	hex     nibbles // that it begins with
	quiet   time.Duration
}

func udpOptions() []Option {
	return []Option{
		{Name: "payload", Form: FormText, Doc: "The text that is sent; without it and payload_hex an empty datagram."},
		{Name: "payload_hex", Form: FormText, Doc: "The same in hex: \"0a 1b\"."},
		{Name: "expect", Form: FormText, Doc: "A text that the answer must contain; without it and expect_hex any answer passes."},
		{Name: "expect_hex", Form: FormText, Doc: "What the answer must begin with, in hex, where ? stands for any digit: \"8? ?? 00\"."},
		{
			Name: "silence", Form: FormText, Default: "fail", Values: []string{"fail", "pass"},
			Doc: "What it means that nothing is heard; pass is for services that answer nobody, and finds out only hosts that say by ICMP that they or their port are gone.",
		},
		{Name: "wait", Form: FormDuration, Default: "500ms", Doc: "With silence: pass, how long it has to last."},
	}
}

func newUDP(env Env, o *options) checkers.Checker {
	u := &udpCheck{dial: env.Dialer.DialUDP, payload: []byte(o.text("payload", "")), expect: []byte(o.text("expect", ""))}
	if sent := o.nibbles("payload_hex", false); sent != nil {
		if len(u.payload) > 0 {
			o.reject([]string{"payload_hex"}, "stands beside payload: give one of the two")
		}
		for _, n := range sent {
			u.payload = append(u.payload, n.value)
		}
	}
	const longest = 65507 // RFC 768, in IPv4
	if len(u.payload) > longest {
		o.reject([]string{"payload"}, "has %d bytes, a datagram holds %d", len(u.payload), longest)
	}
	u.hex = o.nibbles("expect_hex", true)
	if u.hex != nil && len(u.expect) > 0 {
		o.reject([]string{"expect_hex"}, "stands beside expect: give one of the two")
	}
	wait := o.duration("wait", 500*time.Millisecond, time.Millisecond, time.Hour)
	if o.choice("silence", "fail", "fail", "pass") != "pass" {
		return u
	}
	u.quiet = wait
	if u.hex != nil || len(u.expect) > 0 {
		o.reject([]string{"silence"}, "cannot pass where an answer is expected: remove one of the two")
	}
	return u
}

// Check implements Checker.
func (u *udpCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "udp "+target.String())
	conn, err := u.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	hearErrors(conn)
	if u.quiet > 0 {
		_ = conn.SetReadDeadline(time.Now().Add(u.quiet)) // it is open
	}
	defer interrupt(ctx, conn)()
	if _, err := conn.Write(u.payload); err != nil {
		return a.unconnected(ctx, err)
	}
	a.step("sent %d bytes", len(u.payload))
	answer := make([]byte, 64<<10)
	n, err := conn.Read(answer)
	if silent := new(net.OpError); u.quiet > 0 && errors.As(err, &silent) && silent.Timeout() && !errors.Is(ctx.Err(), context.Canceled) {
		return a.pass("no word that it is gone")
	}
	if err != nil {
		return a.broken(ctx, err, checkers.ClassUnreachable, "no answer")
	}
	a.step("an answer of %d bytes", n)
	answer = answer[:n]
	switch {
	case !bytes.Contains(answer, u.expect):
		return a.fail(checkers.ClassContent, "%q is not in the answer, %q", u.expect, clipped(answer))
	case !u.hex.begin(answer):
		return a.fail(checkers.ClassContent, "the answer begins with % x, wanted %s", clipped(answer[:min(n, len(u.hex))]), u.hex)
	}
	return a.pass("an answer of %d bytes", n)
}

// clipped is as much of an answer as a message has room for.
func clipped(answer []byte) []byte { return answer[:min(len(answer), 60)] }

// hearErrors makes a connected socket of UDP report every ICMP error, such as
// that its host is not on the network: by itself it hears only that the port is
// closed. Without it a check only takes longer.
func hearErrors(conn net.Conn) {
	udp, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVERR, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
	})
}

// nibbles are bytes of which some halves may be anything.
type nibbles []struct{ value, mask byte }

// begin tells whether the answer begins with them.
func (n nibbles) begin(answer []byte) bool {
	if len(answer) < len(n) {
		return false
	}
	for i, one := range n {
		if answer[i]&one.mask != one.value {
			return false
		}
	}
	return true
}

// String is how the configuration spells them.
func (n nibbles) String() string {
	var all []string
	for _, one := range n {
		text := []byte(fmt.Sprintf("%02x", one.value))
		if one.mask&0xf0 == 0 {
			text[0] = '?'
		}
		if one.mask&0x0f == 0 {
			text[1] = '?'
		}
		all = append(all, string(text))
	}
	return strings.Join(all, " ")
}

// nibbles reads bytes in hex, with spaces or colons between them or without.
func (o *options) nibbles(key string, wild bool) nibbles {
	text := strings.NewReplacer(" ", "", ":", "").Replace(o.text(key, ""))
	digits := "0-9 and a-f"
	if wild {
		digits += ", and ? for any"
	}
	if len(text)%2 != 0 {
		o.reject([]string{key}, "has %d digits: a byte takes two", len(text))
		return nil
	}
	all := make(nibbles, len(text)/2)
	for i := range text {
		one := &all[i/2]
		one.value, one.mask = one.value<<4, one.mask<<4
		if wild && text[i] == '?' {
			continue
		}
		digit, err := strconv.ParseUint(text[i:i+1], 16, 8)
		if err != nil {
			o.reject([]string{key}, "%q is not a digit: they are %s", text[i], digits)
			return nil
		}
		one.value, one.mask = one.value|byte(digit), one.mask|0xf
	}
	if len(all) == 0 {
		return nil
	}
	return all
}
