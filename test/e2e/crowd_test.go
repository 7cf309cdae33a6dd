// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// crowd is many clients, each with an address of its own and a connection that
// stays open:
//
//	crowd NAME open ADDRESS N      prints how many came to each server
//	crowd NAME reads [SERVER...]   every connection, or those to these servers, lives
//	crowd NAME reset SERVER        those to the server are reset at their next packet
//	crowd NAME moved PERCENT SERVER...
//	                               who connects anew comes to the same server, but
//	                               for so many of those not of the servers that went
//	crowd NAME bereft SERVER SERVICE
//	                               the server's link is cut; its connections are
//	                               reset as soon as the service's budget is over
type crowd struct {
	address string
	members []*member
}

type member struct {
	*heldConn
	from netip.Addr
}

// granted is what may pass beyond a budget until a packet feels it.
func granted() time.Duration {
	if testing.Short() {
		return 250 * time.Millisecond // an emulated machine
	}
	return 50 * time.Millisecond
}

// addressOf gives each member of a crowd one of its addresses.
func addressOf(prefix netip.Prefix, i int) netip.Addr {
	b := prefix.Addr().AsSlice()
	low := b[len(b)-2:]
	binary.BigEndian.PutUint16(low, uint16((i+1)*257)) // scattered, and none twice
	a, _ := netip.AddrFromSlice(b)
	return a
}

// gather opens connections, not many at the same moment.
func (s *stage) gather(address string, n int) ([]*member, error) {
	prefix := s.lab.Crowd4
	if strings.Contains(address, ":") {
		prefix = s.lab.Crowd6
	}
	members, errs := make([]*member, n), make([]error, n)
	const atOnce = 16
	var wg sync.WaitGroup
	for first := range atOnce {
		wg.Go(func() {
			for i := first; i < n; i += atOnce {
				from := addressOf(prefix, i)
				held, err := hold(s.lab.Client, from, address, 200*time.Millisecond)
				members[i], errs[i] = &member{held, from}, err
			}
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err != nil {
		(&crowd{members: members}).close()
	}
	return members, err
}

func (c *crowd) close() {
	for _, m := range c.members {
		if m.heldConn != nil {
			m.close()
		}
	}
}

// of are the members at some servers, or all.
func (c *crowd) of(servers ...string) []*member {
	var out []*member
	for _, m := range c.members {
		if len(servers) == 0 || slices.Contains(servers, m.server) {
			out = append(out, m)
		}
	}
	return out
}

// each does something with members at the same time.
func each(members []*member, f func(*member) error) error {
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			if err := f(m); err != nil {
				errs[i] = fmt.Errorf("from %v: %w", m.from, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func cmdCrowd(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: crowd NAME open ADDRESS N, crowd NAME reads [SERVER...], crowd NAME reset SERVER, " +
		"crowd NAME moved PERCENT SERVER..., crowd NAME bereft SERVER SERVICE"
	s := stageOf(ts)
	if len(args) < 2 {
		ts.Fatalf(usage)
	}
	c := s.crowds[args[0]]
	switch rest := args[2:]; {
	case args[1] == "open" && len(rest) == 2:
		n, err := strconv.Atoi(rest[1])
		ts.Check(err)
		members, err := s.gather(rest[0], n)
		ts.Check(err)
		c = &crowd{rest[0], members}
		s.crowds[args[0]] = c
		for _, r := range s.servers {
			_, _ = fmt.Fprintf(ts.Stdout(), "%d at %s\n", len(c.of(r.name)), r.name)
		}
	case args[1] == "reads" && c != nil:
		ts.Check(each(c.of(rest...), func(m *member) error { return m.reads() }))
	case args[1] == "reset" && c != nil && len(rest) == 1:
		ts.Check(each(c.of(rest...), func(m *member) error { return m.reset() }))
	case args[1] == "moved" && c != nil && len(rest) > 0:
		percent, err := strconv.Atoi(rest[0])
		ts.Check(err)
		c.moved(ts, percent, rest[1:])
	case args[1] == "bereft" && c != nil && len(rest) == 2:
		c.bereft(ts, s.server(ts, rest[0]), s.budget(ts, rest[1])+granted())
	default:
		ts.Fatalf(usage)
	}
}

// moved has every member connect a second time, to see where it comes to now.
func (c *crowd) moved(ts *testscript.TestScript, percent int, gone []string) {
	again, err := stageOf(ts).gather(c.address, len(c.members))
	ts.Check(err)
	defer (&crowd{members: again}).close()
	moved, of := 0, 0
	for i, m := range c.members {
		if slices.Contains(gone, again[i].server) {
			ts.Fatalf("%v comes to %s, which is gone", m.from, again[i].server)
		}
		if slices.Contains(gone, m.server) {
			continue
		}
		of++
		if m.server != again[i].server {
			moved++
		}
	}
	_, _ = fmt.Fprintf(ts.Stdout(), "%d of %d moved\n", moved, of)
	if moved*100 > of*percent {
		ts.Fatalf("%d of %d clients moved, want at most %d %%", moved, of, percent)
	}
}

// bereft cuts the link of a server and has one member after the other, every
// 10 ms, send its first byte since: what TCP sends again comes too seldom to
// measure by.
func (c *crowd) bereft(ts *testscript.TestScript, r *realServer, limit time.Duration) {
	const pause = 10 * time.Millisecond
	members := c.of(r.name)
	if need := int(limit/pause) + 1; len(members) < need {
		ts.Fatalf("%d connections to %s are too few to see %v with, want %d", len(members), r.name, limit, need)
	}
	for _, m := range members {
		ts.Check(m.conn.SetReadDeadline(time.Now().Add(limit + 2*patience)))
	}
	ts.Check(r.unplug())
	began := time.Now()
	resets := make(chan time.Duration, len(members))
	ended := make(chan error, 1)
	go func() {
		ended <- each(members, func(m *member) error {
			if _, err := io.Copy(io.Discard, m.heldConn.from); !errors.Is(err, syscall.ECONNRESET) {
				return fmt.Errorf("want a reset, got %w", err)
			}
			resets <- time.Since(began)
			return nil
		})
	}()
	for i, m := range members {
		time.Sleep(time.Until(began.Add(time.Duration(i) * pause)))
		ts.Check(m.poke())
	}
	ts.Check(<-ended)
	first := <-resets
	_, _ = fmt.Fprintf(ts.Stdout(), "the first reset came after %v\n", first.Round(time.Millisecond))
	if first > limit {
		ts.Fatalf("the first reset came after %v, want at most %v", first, limit)
	}
}
