// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// costly is a fake that shares slots.
type costly struct {
	*fake
	slots Slots
}

func (c costly) Slots() Slots { return c.slots }

// flyingNow is how many runs of a fake are in flight.
func (f *fake) flyingNow() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.flying {
		n += one
	}
	return n
}

func targetOf(i int) netip.AddrPort { return netip.AddrPortFrom(at.Addr(), uint16(1000+i)) }

// TestSlots lets many Limited checks stall: no more than their slots are in
// flight, each gets its turn, and nobody else is late by a moment: neither
// another group, nor a check on the same target.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := costly{newFake(time.Hour), Slots{"exec", 3}}
		other, plain := costly{newFake(time.Millisecond), Slots{"module", 1}}, newFake(0)
		var probes []Probe
		for i := range 20 {
			for check, c := range map[string]Checker{"exec": stalled, "plain": plain} {
				probes = append(probes, Probe{Key: Key{check, targetOf(i)}, Checker: c, Timing: usual})
			}
		}
		probes = append(probes, Probe{Key: Key{"module", targetOf(0)}, Checker: other, Timing: usual})
		b := newRig(t, probes...)
		most := 0
		for range 6000 {
			b.pass(100 * time.Millisecond)
			most = max(most, stalled.flyingNow())
		}
		if most != 3 {
			t.Errorf("%d runs at once, want 3", most)
		}
		for _, s := range b.Snapshot() {
			switch {
			case s.Key.Check == "exec" && (s.Runs < 600*3/2/20-3 || s.Status != StatusDown):
				t.Errorf("%s: %d runs, %s", s.Key, s.Runs, s.Status)
			case s.Key.Check != "exec" && (s.Runs < 118 || s.Status != StatusUp):
				t.Errorf("%s: %d runs, %s", s.Key, s.Runs, s.Status)
			}
		}
		if stats := b.Stats(); stats.Lateness.Max != 0 || stats.Held == 0 {
			t.Errorf("lateness %v, %d held", stats.Lateness.Max, stats.Held)
		}
		b.end()
	})
}

// TestSlotsBudgets lets all checks of a group stall, several of them on each
// target: each goes down within its budget.
func TestSlotsBudgets(t *testing.T) {
	for _, test := range []struct{ targets, checks, slots int }{{1, 1, 1}, {9, 1, 2}, {3, 4, 2}, {2, 7, 9}, {4, 3, 1}} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			for round := range 10 {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(0)
					var probes []Probe
					for i := range test.targets * test.checks {
						key := Key{fmt.Sprint(i / test.targets), targetOf(i % test.targets)}
						probes = append(probes, Probe{Key: key, Checker: costly{f, Slots{"exec", test.slots}}, Timing: usual})
					}
					b := newRig(t, probes...)
					b.pass(20*time.Second + time.Duration(round)*499*time.Millisecond)
					died := time.Now()
					down := map[Key]time.Duration{}
					b.atEach = func(tr Transition) { down[tr.Key] = tr.At.Sub(died) }
					f.stall()
					b.pass(20 * time.Minute)
					budgets := Budgets(probes)
					for _, s := range b.Snapshot() {
						if s.Budget != budgets[s.Key] || down[s.Key] == 0 || down[s.Key] > s.Budget {
							t.Errorf("%s: down after %v, its budget is %v and %v", s.Key, down[s.Key], s.Budget, budgets[s.Key])
						}
					}
					b.end()
				})
			}
		})
	}
}

// TestSlotsReload changes the slots, and takes probes away that wait for one or
// have it.
func TestSlotsReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(400 * time.Millisecond)
		set := func(from, to, slots int, fingerprint string) (probes []Probe) {
			for i := from; i < to; i++ {
				p := Probe{Key: Key{"exec", targetOf(i / 3)}, Checker: costly{f, Slots{"exec", slots}}, Timing: usual, Fingerprint: fingerprint}
				p.Key.Check += fmt.Sprint(i % 3)
				probes = append(probes, p)
			}
			return probes
		}
		b := newRig(t, set(0, 30, 2, "1")...)
		flies := func(most int) {
			t.Helper()
			got := 0
			for range 200 {
				b.pass(50 * time.Millisecond)
				got = max(got, f.flyingNow())
			}
			if got != most {
				t.Errorf("%d runs at once, want %d", got, most)
			}
		}
		flies(2)
		b.Set(set(0, 30, 4, "1"))
		flies(4)
		b.Set(set(0, 30, 1, "1"))
		b.pass(time.Second)
		flies(1)
		for i := range 60 {
			b.Set(set(i%7, 30-i%11, 1+i%5, fmt.Sprint(i%2)))
			b.pass(130 * time.Millisecond)
		}
		b.Set(set(0, 4, 3, "3"))
		before := b.runsOf4(t)
		b.pass(time.Minute)
		for key, runs := range b.runsOf4(t) {
			if runs < before[key]+11 {
				t.Errorf("%s: %d runs in a minute", key, runs-before[key])
			}
		}
		b.Set(nil)
		b.pass(time.Second)
		if n := f.flyingNow(); n != 0 {
			t.Errorf("%d runs in flight without a probe", n)
		}
		b.end()
	})
}

// runsOf4 is the runs of the four probes that there are.
func (b *rig) runsOf4(t *testing.T) map[Key]uint64 {
	t.Helper()
	runs := map[Key]uint64{}
	for _, s := range b.Snapshot() {
		runs[s.Key] = s.Runs
	}
	if len(runs) != 4 {
		t.Fatalf("%d probes, want 4", len(runs))
	}
	return runs
}

// TestSlotsMove proves that a check that becomes Limited, and so changes its
// shard, keeps its status.
func TestSlotsMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		var heard []string
		s := NewScheduler(Options{Shards: 8, OnTransition: func(tr Transition) { heard = append(heard, tr.Status.String()) }})
		p := probeOf("web", f, usual)
		s.Set([]Probe{p})
		ended := make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(20 * time.Second)
		for i := range 20 { // some of them are in other shards
			p.Checker, p.Fingerprint = costly{f, Slots{fmt.Sprint("group", i), 1}}, fmt.Sprint(i)
			s.Set([]Probe{p})
			if got := s.Snapshot(); len(got) != 1 || got[0].Status != StatusUp || got[0].Runs < 3 {
				t.Fatalf("after move %d: %+v", i, got)
			}
			time.Sleep(2 * time.Second)
		}
		stop()
		if err := <-ended; err != nil || len(heard) != 1 {
			t.Errorf("%v, heard %v", err, heard)
		}
	})
}
