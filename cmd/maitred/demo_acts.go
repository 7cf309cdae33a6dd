// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

const (
	visits     = 100                  // of the first act
	visitPause = 5 * time.Millisecond // between visits, in the acts with a change
	rushPeriod = 2 * time.Second      // of counting answers per second
	rushers    = 4                    // visitors at once
	patience   = time.Minute          // for anything that must happen
	countTime  = 5 * time.Second      // until the kernel's counts are up to date
	afterglow  = 3 * time.Second      // of watching after a change is over; longer than the linger
)

func prologue(ctx context.Context, s *stage, n *narrator) error {
	n.act("Prologue: a client, a director and two real servers, each in a network namespace")
	n.say("  client %s -> director %s -> real servers a %s and b %s",
		s.lab.Client.IPv4, s.lab.Director.IPv4, s.lab.Servers[0].IPv4, s.lab.Servers[1].IPv4)
	n.say("  virtual service %s:80, method nat, scheduler rr; a server must answer /healthz", s.lab.VIP4)
	for _, name := range []string{"a", "b"} {
		if err := s.startServer(ctx, name); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := s.startDaemon(ctx); err != nil {
		return err
	}
	alive, stop := s.daemon.whileAlive(ctx)
	defer stop()
	seen := map[string]bool{}
	if err := until(alive, patience, "the client reaches both servers", func() bool {
		seen[s.visitor.visit(ctx).server] = true
		return seen["a"] && seen["b"]
	}); err != nil {
		return err
	}
	took := time.Since(began)
	service, err := s.waitMode(ctx, "serve", patience)
	if err != nil {
		return err
	}
	n.fact(service.Live == 2, "%.1f s after its start the daemon serves, %s, and the client has reached both",
		took.Seconds(), service.Reason)
	n.say("         the detection budget that maitred status prints: %s", seconds(service.Budget))
	return s.tellEngine(ctx, n)
}

// tellEngine says who forwards, and where packets are taken.
func (s *stage) tellEngine(ctx context.Context, n *narrator) error {
	var st api.Status
	err := until(ctx, patience, "the kernel agrees with the daemon", func() bool {
		var err error
		st, err = s.api.Status(ctx)
		return err == nil && st.InSync && len(st.Services) == 1
	})
	if err != nil {
		return err
	}
	n.fact(st.Forwarding != string(config.ForwardingNone), "%s", api.ForwardingText(st.Forwarding, st.ForwardingNote))
	n.say("         packets are taken at %s", strings.Join(st.Services[0].Attached, ", "))
	for _, at := range st.Attachments {
		if at.NoXDP != "" {
			n.say("         no XDP on %s: %s", at.Interface, at.NoXDP)
			break // the others are of the same kind
		}
	}
	return nil
}

func actBalanced(ctx context.Context, s *stage, n *narrator) error {
	n.act(fmt.Sprintf("Act 1: %d visits, a new connection each", visits))
	if err := pauseUntil(ctx, time.Now().Add(s.countLag(ctx))); err != nil {
		return err
	}
	before := s.newFlows(ctx)
	var all []visit
	for range visits {
		all = append(all, s.visitor.visit(ctx))
	}
	t := tallyOf(all)
	n.fact(t.byStatus[200] == visits, "%d of %d were answered 200%s", t.byStatus[200], visits, t.trouble())
	a, b := t.byServer["a"], t.byServer["b"]
	n.fact(a > 0 && b > 0 && max(a-b, b-a) <= 2, "server a answered %d, server b %d", a, b)
	after := s.newFlows(ctx)
	agrees := func() bool {
		after = s.newFlows(ctx)
		return after["a"]-before["a"] == uint64(a) && after["b"]-before["b"] == uint64(b)
	}
	err := until(ctx, countTime, "the kernel's counts are those of the client", agrees)
	n.fact(err == nil, "the kernel counted as many connections: %d to a, %d to b", after["a"]-before["a"], after["b"]-before["b"])
	return nil
}

func actSorry(ctx context.Context, s *stage, n *narrator) error {
	n.act("Act 3: both real servers are killed while the client goes on visiting")
	service, _ := s.service(ctx)
	budget := time.Duration(service.Budget * float64(time.Second))
	first := newMoment()
	stop := s.visitor.keepVisiting(ctx, visitPause, func(v visit) {
		if v.status == 502 {
			first.now()
		}
	})
	defer stop()
	s.servers["a"].kill()
	s.servers["b"].kill()
	died := time.Now()
	if err := first.wait(ctx, patience, "the client gets a 502"); err != nil {
		return err
	}
	if err := pauseUntil(ctx, died.Add(budget+afterglow)); err != nil {
		return err
	}
	all := stop()
	var after []visit
	for _, v := range all {
		if v.at.After(died.Add(budget)) {
			after = append(after, v)
		}
	}
	whole, late := tallyOf(all), tallyOf(after)
	n.fact(first.at.Before(died.Add(budget)), "the first 502 came %.2f s after the death of the servers, budget %.2f s",
		first.at.Sub(died).Seconds(), budget.Seconds())
	n.say("         until then %d visits failed: nobody knew yet", whole.failed)
	n.fact(len(after) > 0 && late.byStatus[502] == len(after),
		"after the budget %d of %d visits got a whole 502, %d failed%s", late.byStatus[502], len(after), late.failed, late.trouble())
	n.say("         the slowest answer took %v", late.slowest.Round(time.Millisecond))
	return errors.Join(s.showPage(ctx, n), s.showRate(ctx, n), s.showCounters(ctx, n))
}

// showPage compares what comes with what maitred page show --raw prints.
func (s *stage) showPage(ctx context.Context, n *narrator) error {
	cfg, err := config.Load(s.config())
	if err != nil {
		return err
	}
	page, _ := cfg.Page("closed")
	got, err := s.visitor.raw(ctx)
	if err != nil {
		return fmt.Errorf("fetch the page: %w", err)
	}
	n.say("         what the kernel answers:")
	head, _, _ := bytes.Cut(got, []byte("\r\n\r\n"))
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		n.say("    %s", line)
	}
	n.fact(bytes.Equal(got, page.Image.Response), "these %d bytes are those of the page, one by one", len(got))
	return nil
}

func (s *stage) showRate(ctx context.Context, n *narrator) error {
	before, _ := s.service(ctx)
	good, bad := s.visitor.rush(ctx, rushers, rushPeriod, 502)
	after, ok := s.service(ctx)
	if !ok {
		return errors.New("the daemon does not tell its counters")
	}
	segments := after.Verdicts["answer_last"].Packets - before.Verdicts["answer_last"].Packets
	n.fact(good > 0 && bad == 0, "%d visitors at once: %.0f pages a second, %d failures",
		rushers, float64(good)/rushPeriod.Seconds(), bad)
	n.fact(segments >= uint64(good), "the kernel counted %d last segments for these %d pages", segments, good)
	return nil
}

func actBack(ctx context.Context, s *stage, n *narrator) error {
	n.act("Act 4: real server a comes back while the client goes on visiting")
	first := newMoment()
	stop := s.visitor.keepVisiting(ctx, visitPause, func(v visit) {
		if v.status == 200 {
			first.now()
		}
	})
	defer stop()
	began := time.Now()
	if err := s.startServer(ctx, "a"); err != nil {
		return err
	}
	if err := first.wait(ctx, patience, "the client gets a 200"); err != nil {
		return err
	}
	if _, err := s.waitMode(ctx, "serve", patience); err != nil { // the linger is over
		return err
	}
	if err := pauseUntil(ctx, time.Now().Add(time.Second)); err != nil {
		return err
	}
	all := stop()
	t := tallyOf(all)
	n.say("         the first 200 came %.2f s after the start of server a", first.at.Sub(began).Seconds())
	n.say("         the slowest answer took %v", t.slowest.Round(time.Millisecond))
	n.fact(t.failed == 0 && t.byStatus[200]+t.byStatus[502] == len(all),
		"of %d visits %d got a whole 502 and %d a whole 200; %d resets, %d failures in all%s",
		len(all), t.byStatus[502], t.byStatus[200], t.resets, t.failed, t.trouble())
	return nil
}

func actEnd(_ context.Context, s *stage, n *narrator) error {
	n.act("Act 5: the daemon is stopped, with on_stop: withdraw")
	err := s.daemon.signal(syscall.SIGTERM)
	n.fact(err == nil, "it stopped cleanly%s", because(err))
	_, err = os.Stat(s.pins)
	n.fact(errors.Is(err, fs.ErrNotExist), "nothing is left under %s", s.pins)
	return nil
}

// moment notes when something happened for the first time.
type moment struct {
	once sync.Once
	at   time.Time
	came chan struct{}
}

func newMoment() *moment { return &moment{came: make(chan struct{})} }

func (m *moment) now() { m.once.Do(func() { m.at = time.Now(); close(m.came) }) }

func (m *moment) wait(ctx context.Context, limit time.Duration, what string) error {
	return until(ctx, limit, what, func() bool {
		select {
		case <-m.came:
			return true
		default:
			return false
		}
	})
}

func pauseUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trouble names the last failure, if there was one.
func (t tally) trouble() string { return because(t.lastErr) }

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}
