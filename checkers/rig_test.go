// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a checker whose runs take a time and end as they are told. It notes
// when they start and whether two on one target overlap.
type fake struct {
	mu     sync.Mutex
	takes  time.Duration
	lag    time.Duration // how long it takes to notice that ctx has ended
	class  Class
	starts map[netip.AddrPort][]time.Time
	flying map[netip.AddrPort]int
	most   map[netip.AddrPort]int // in flight at once
	cut    int                    // runs that ctx ended
}

func newFake(takes time.Duration) *fake {
	return &fake{
		takes:  takes,
		starts: map[netip.AddrPort][]time.Time{},
		flying: map[netip.AddrPort]int{},
		most:   map[netip.AddrPort]int{},
	}
}

func (f *fake) Check(ctx context.Context, target netip.AddrPort) Result {
	f.mu.Lock()
	f.starts[target] = append(f.starts[target], time.Now())
	f.flying[target]++
	f.most[target] = max(f.most[target], f.flying[target])
	takes := f.takes
	f.mu.Unlock()

	timer := time.NewTimer(takes)
	defer timer.Stop()
	cut := false
	select {
	case <-timer.C:
	case <-ctx.Done():
		cut = true
		time.Sleep(f.lag)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	f.flying[target]--
	switch {
	case cut:
		f.cut++
		return Result{Outcome: OutcomeFail, Class: ClassTimeout}
	case f.class == ClassLocal:
		return Result{Outcome: OutcomeUnknown, Class: ClassLocal}
	case f.class != ClassNone:
		return Result{Outcome: OutcomeFail, Class: f.class}
	}
	return Result{Outcome: OutcomePass}
}

// turn makes later runs end so.
func (f *fake) turn(class Class) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.class = class
}

// stall makes later runs last until ctx ends.
func (f *fake) stall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takes = 24 * time.Hour
}

// begun returns the starts of runs on a target since the last call.
func (f *fake) begun(target netip.AddrPort) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	starts := f.starts[target]
	delete(f.starts, target)
	return starts
}

// rig is a scheduler that runs inside a synctest bubble.
type rig struct {
	*Scheduler
	t      *testing.T
	heard  []string // transitions, as "check status class"
	stop   context.CancelFunc
	ended  chan error
	epoch  time.Time
	atEach func(Transition)
}

// newRig makes a scheduler with one shard and starts it after the Set calls
// of before.
func newRig(t *testing.T, before ...Probe) *rig { return newRigOf(t, func(*Scheduler) {}, before...) }

// newRigOf is the same of a scheduler that a test has changed.
func newRigOf(t *testing.T, change func(*Scheduler), before ...Probe) *rig {
	b := &rig{t: t, ended: make(chan error, 1), epoch: time.Now()}
	b.Scheduler = NewScheduler(Options{Seed: "lb1", Shards: 1, OnTransition: func(tr Transition) {
		b.heard = append(b.heard, fmt.Sprintf("%s %s %s", tr.Key.Check, tr.Status, tr.Result.Class))
		if b.atEach != nil {
			b.atEach(tr)
		}
	}})
	change(b.Scheduler)
	b.Set(before)
	ctx, cancel := context.WithCancel(t.Context())
	b.stop = cancel
	go func() { b.ended <- b.Run(ctx) }()
	synctest.Wait()
	return b
}

// end stops the scheduler and waits for all of it.
func (b *rig) end() {
	b.t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Errorf("run: %v", err)
	}
	if stats := b.Stats(); stats.Running != 0 {
		b.t.Errorf("%d runs outlived the scheduler", stats.Running)
	}
}

// pass lets time go by.
func (b *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *rig) wantHeard(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.heard, want) {
		b.t.Errorf("heard %q, want %q", b.heard, want)
	}
	b.heard = nil
}

// one is the state of the only probe.
func (b *rig) one() ProbeState {
	b.t.Helper()
	all := b.Snapshot()
	if len(all) != 1 {
		b.t.Fatalf("%d probes, want one", len(all))
	}
	return all[0]
}

var (
	usual = Timing{Interval: 5 * time.Second, FastInterval: time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	at    = netip.MustParseAddrPort("10.0.0.11:80")
)

func probeOf(check string, checker Checker, timing Timing) Probe {
	return Probe{Key: Key{Check: check, Target: at}, Checker: checker, Timing: timing, Fingerprint: "1"}
}

func phaseOf(seed string, key Key, interval time.Duration) time.Duration {
	return time.Duration(hashOf(seed, key) % uint64(interval))
}
