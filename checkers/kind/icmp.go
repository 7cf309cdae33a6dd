// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// icmpCheck passes when the real server's host answers echo requests. A host
// may limit how many it answers, and answers when no service runs on it: it is
// a poor witness of a service, and a good one of a way.
type icmpCheck struct {
	env     Env
	count   int
	replies int
	size    int
}

func icmpOptions() []Option {
	return []Option{
		{Name: "count", Form: FormNumber, Default: "1", Doc: "How many echo requests a run sends, at once: 1 to 10."},
		{Name: "replies", Form: FormNumber, Default: "1", Doc: "How many of them must be answered."},
		{Name: "size", Form: FormNumber, Default: "56", Doc: "Bytes of payload in each: 8 to 9000."},
	}
}

func newICMP(env Env, o *options) checkers.Checker {
	c := &icmpCheck{env: env, count: o.number("count", 1, 1, 10), replies: o.number("replies", 1, 1, 10), size: o.number("size", 56, 8, 9000)}
	if c.replies > c.count {
		o.reject([]string{"replies"}, "%d is more than the %d requests that count says", c.replies, c.count)
	}
	return c
}

// Check implements Checker.
func (c *icmpCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	host := target.Addr().Unmap()
	a := newAttempt(ctx, "ping "+host.String())
	from, err := c.env.Dialer.origin(ctx, host)
	if err == nil && (from.Mark != 0 || from.Netns != "") {
		err = &fault{errors.New("all echo requests leave by one socket, without a mark and in the director's own network namespace"), "leave mark and netns out of checks of kind icmp"}
	}
	if err != nil {
		return a.unconnected(ctx, err)
	}
	socket, err := c.env.Echoes.socket(host.Is4())
	if err != nil {
		return a.local(err)
	}
	answers := make(chan echoAnswer, c.count)
	for range c.count {
		e := &echoRequest{target: host, heard: answers}
		_, _ = rand.Read(e.token[:]) // never fails
		seq, err := socket.expect(e)
		if err != nil {
			return a.local(err)
		}
		defer socket.forget(seq)
		if err := socket.send(from, e, seq, c.size); err != nil {
			return a.unconnected(ctx, err)
		}
	}
	a.step("sent %d echo requests of %d bytes", c.count, c.size)
	return c.await(ctx, a, answers)
}

// await counts replies until they are enough, or no longer can be.
func (c *icmpCheck) await(ctx context.Context, a attempt, answers <-chan echoAnswer) checkers.Result {
	replies, failed := 0, 0
	for {
		select {
		case <-ctx.Done():
			class := checkers.ClassStalled
			if replies == 0 {
				class = checkers.ClassUnreachable // by which a timeout is one of the connection
			}
			return a.broken(ctx, ctx.Err(), class, c.score(replies))
		case answer := <-answers:
			if answer.err != nil {
				a.step("%v", answer.err)
				if failed++; failed > c.count-c.replies {
					return a.fail(checkers.ClassUnreachable, "%v", answer.err)
				}
				continue
			}
			a.step("a reply")
			if replies++; replies == c.replies {
				return a.pass("%d of %d requests answered", replies, c.count)
			}
		}
	}
}

// score says what is missing at the end of the time.
func (c *icmpCheck) score(replies int) string {
	if replies == 0 {
		return "no reply"
	}
	return fmt.Sprintf("only %d of the %d replies that are wanted", replies, c.replies)
}
