// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSchedulerSteady proves that a settled probe runs once in each interval, at
// its phase and no later than the jitter.
func TestSchedulerSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(10 * time.Millisecond)
		b := newRig(t, probeOf("web", f, usual))
		b.pass(time.Second)
		if first := f.begun(at); len(first) == 0 || first[0].Sub(b.epoch) >= time.Second {
			t.Errorf("first runs at %v, want one within a second", first)
		}
		b.wantHeard("web up none")
		b.pass(100 * usual.Interval)
		starts := f.begun(at)
		if len(starts) < 99 || len(starts) > 101 {
			t.Errorf("%d runs in 100 intervals", len(starts))
		}
		phase := phaseOf("lb1", Key{"web", at}, usual.Interval)
		delays := map[time.Duration]bool{}
		for _, start := range starts {
			delay := (start.Sub(b.epoch) - phase) % usual.Interval
			if delay < 0 || delay > usual.Interval/jitterShare {
				t.Errorf("a run began %v after its slot", delay)
			}
			delays[delay] = true
		}
		if len(delays) < 50 {
			t.Errorf("only %d different delays: no jitter", len(delays))
		}
		b.wantHeard()
		stats := b.Stats()
		if stats.Skipped != 0 || stats.Held != 0 || stats.Lateness.Max != 0 || stats.Probes != 1 {
			t.Errorf("got %+v", stats)
		}
		if want := []RunCount{{OutcomePass, ClassNone, b.one().Runs}}; !slices.Equal(stats.Runs, want) {
			t.Errorf("runs: got %v, want %v", stats.Runs, want)
		}
		b.end()
	})
}

// TestSchedulerFallAndRise lets a server die and come back: results in a row come
// at the fast interval, and only the decisions are heard of.
func TestSchedulerFallAndRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		b := newRig(t, probeOf("web", f, usual))
		b.pass(20 * time.Second)
		b.wantHeard("web up none")

		f.begun(at)
		f.turn(ClassRefused)
		died := time.Now()
		b.pass(usual.Budget())
		b.wantHeard("web down refused")
		starts := f.begun(at)
		for i := range 2 {
			if gap := starts[i+1].Sub(starts[i]); gap != usual.FastInterval {
				t.Errorf("failure %d came %v after the one before", i+2, gap)
			}
		}
		state := b.one()
		if state.Status != StatusDown || state.Fails < 3 || state.Passes != 0 || state.Since != starts[2] || state.Since.Sub(died) > usual.Budget() {
			t.Errorf("after the fall: %+v", state)
		}

		b.pass(time.Minute)
		f.turn(ClassNone)
		b.pass(usual.Interval*21/20 + usual.FastInterval)
		b.wantHeard("web up none")
		if state := b.one(); state.Status != StatusUp || state.Failures < 3 {
			t.Errorf("after the rise: %+v", state)
		}
		b.end()
	})
}

// TestSchedulerHard proves that a server that is down is heard of again when its
// failures turn hard, and when they turn soft.
func TestSchedulerHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		f.turn(ClassStatus)
		b := newRig(t, probeOf("web", f, usual))
		for _, step := range []struct {
			class Class
			want  []string
		}{
			{ClassStatus, []string{"web down status"}},
			{ClassContent, nil},
			{ClassRefused, []string{"web down refused"}},
			{ClassTimeout, nil},
			{ClassLocal, nil},
			{ClassStatus, []string{"web down status"}},
		} {
			f.turn(step.class)
			b.pass(10 * time.Second)
			b.wantHeard(step.want...)
		}
		if got := b.one(); got.Since.Sub(b.epoch) > time.Second {
			t.Errorf("down since %v: the turns moved it", got.Since)
		}
		b.end()
	})
}

// TestSchedulerUnknown proves that runs that the director could not make lower
// nothing.
func TestSchedulerUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		f.turn(ClassLocal)
		b := newRig(t, probeOf("web", f, usual))
		b.pass(time.Minute)
		b.wantHeard()
		if got := b.one(); got.Status != StatusUnknown || got.Last.Outcome != OutcomeUnknown || got.Runs == 0 || !got.Since.IsZero() {
			t.Errorf("got %+v", got)
		}
		f.turn(ClassNone)
		b.pass(6 * time.Second)
		b.wantHeard("web up none")
		f.turn(ClassLocal)
		b.pass(time.Minute)
		b.wantHeard()
		b.end()
	})
}

// TestSchedulerNoOverlap gives a probe runs that take longer than its interval.
func TestSchedulerNoOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timing := Timing{Interval: time.Second, FastInterval: 100 * time.Millisecond, Timeout: time.Minute, Rise: 1, Fall: 1}
		f := newFake(2500 * time.Millisecond)
		b := newRig(t, probeOf("web", f, timing))
		b.pass(5 * time.Minute)
		if f.most[at] != 1 {
			t.Errorf("%d runs at once", f.most[at])
		}
		// Each run makes its probe miss two slots or three: 2.5 s and the jitter.
		runs, skipped := b.one().Runs, b.Stats().Skipped
		if runs < 90 || skipped < 2*(runs-1) || skipped > 3*runs {
			t.Errorf("%d runs, %d slots skipped", runs, skipped)
		}
		b.end()
	})
}

// TestSchedulerTimeout lets a server stall: its runs are ended in time, each
// starts as soon as the one before has ended, and the budget holds.
func TestSchedulerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		b := newRig(t, probeOf("web", f, usual))
		b.pass(20 * time.Second)
		b.wantHeard("web up none")
		f.begun(at)
		f.stall()
		stalled := time.Now()
		b.pass(usual.Budget())
		b.wantHeard("web down timeout")
		starts := f.begun(at)
		for i := range 2 {
			if gap := starts[i+1].Sub(starts[i]); gap != usual.Timeout {
				t.Errorf("run %d came %v after the one before", i+2, gap)
			}
		}
		got, stats := b.one(), b.Stats()
		if took := got.Since.Sub(stalled); took > usual.Budget() || got.Since.Sub(starts[2]) != usual.Timeout {
			t.Errorf("down after %v, %v after the last start", took, got.Since.Sub(starts[2]))
		}
		if stats.Lateness.Max != 0 || stats.Skipped != 0 {
			t.Errorf("lateness %v, %d skipped", stats.Lateness.Max, stats.Skipped)
		}
		b.end()
	})
}

// TestSchedulerStalledTarget puts four checks on a target that stalls: no more
// than two are in flight on it, each gets its turn, and another target's probe is
// not late by a moment.
func TestSchedulerStalledTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled, good := newFake(time.Hour), newFake(0)
		other := netip.MustParseAddrPort("10.0.0.12:80")
		probes := []Probe{{Key: Key{"web", other}, Checker: good, Timing: usual}}
		for i := range 4 {
			probes = append(probes, probeOf(fmt.Sprint("check", i), stalled, usual))
		}
		b := newRig(t, probes...)
		b.pass(10 * time.Minute)
		if stalled.most[at] != PerTarget {
			t.Errorf("%d runs at once on the stalled target, want %d", stalled.most[at], PerTarget)
		}
		for _, state := range b.Snapshot() {
			if state.Runs < 60 {
				t.Errorf("%s ran %d times in 10 minutes", state.Key, state.Runs)
			}
			if up := state.Key.Target == other; up != (state.Status == StatusUp) {
				t.Errorf("%s is %s", state.Key, state.Status)
			}
		}
		stats := b.Stats()
		if stats.Lateness.Max != 0 || stats.Held == 0 {
			t.Errorf("lateness %v, %d held", stats.Lateness.Max, stats.Held)
		}
		b.end()
	})
}

// TestSchedulerSpread proves that first runs are spread, over longer where there
// are many, and that slots are spread over the interval.
func TestSchedulerSpread(t *testing.T) {
	tests := []struct {
		probes int
		within time.Duration
		timing Timing
	}{
		{500, time.Second, usual},
		{3000, 3 * time.Second, usual},
		{20000, 10 * time.Second, Timing{Interval: time.Minute, Timeout: time.Second, Rise: 1, Fall: 1}},
		{20000, 5 * time.Second, usual},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.probes, " in ", test.within), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(0)
				var probes []Probe
				for i := range test.probes {
					target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)
					probes = append(probes, Probe{Key: Key{"web", target}, Checker: f, Timing: test.timing})
				}
				b := newRig(t, probes...)
				b.pass(test.within)
				tenths := make([]int, 10)
				for _, p := range probes {
					first := f.begun(p.Key.Target)[0]
					tenths[10*first.Sub(b.epoch)/test.within]++
				}
				mean := float64(test.probes) / 10
				bound := 4 * math.Sqrt(mean*0.9) // four standard deviations
				for i, n := range tenths {
					if math.Abs(float64(n)-mean) > bound {
						t.Errorf("tenth %d of %v: the first run of %d probes", i, test.within, n)
					}
				}
				b.end()
			})
		})
	}
}

// TestSchedulerManyShards runs three checks on each of many targets and ends in
// the middle.
func TestSchedulerManyShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(500 * time.Millisecond)
		results := 0
		s := NewScheduler(Options{Shards: 4, OnResult: func(Key, Result) { results++ }})
		var probes []Probe
		for i := range 300 {
			target := netip.AddrPortFrom(at.Addr(), uint16(1000+i/3))
			probes = append(probes, Probe{Key: Key{fmt.Sprint(i % 3), target}, Checker: f, Timing: usual})
		}
		s.Set(probes)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		var runs uint64
		all := s.Snapshot()
		for _, state := range all {
			runs += state.Runs
		}
		stats := s.Stats()
		if uint64(results) != runs || runs < 300*11 || stats.Running != 0 || stats.Probes != 300 {
			t.Errorf("%d results, %d runs, %+v", results, runs, stats)
		}
		if want := []RunCount{{OutcomePass, ClassNone, runs}}; f.cut == 0 || !slices.Equal(stats.Runs, want) {
			t.Errorf("%d runs in flight at the end; counted %v, want %v", f.cut, stats.Runs, want)
		}
		for target, most := range f.most {
			if most > PerTarget {
				t.Errorf("%s: %d runs at once", target, most)
			}
		}
		if stats.Held == 0 {
			t.Error("no run was held: the test proves nothing")
		}
		inOrder := func(a, b ProbeState) int {
			return cmp.Or(strings.Compare(a.Key.Check, b.Key.Check), a.Key.Target.Compare(b.Key.Target))
		}
		if !slices.IsSortedFunc(all, inOrder) {
			t.Error("the snapshot is not in order")
		}
	})
}

// TestSchedulerEnd proves that the end of a scheduler waits for the last
// transition to be told.
func TestSchedulerEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t)
		told := false
		b.atEach = func(Transition) {
			b.stop()
			time.Sleep(time.Minute)
			told = true
		}
		b.Set([]Probe{probeOf("web", newFake(0), usual)})
		b.pass(time.Second)
		b.end()
		if !told {
			t.Error("the scheduler ended first")
		}
	})
}

// TestSchedulerRunTwice proves that one scheduler is not run twice at a time, but
// one time after another.
func TestSchedulerRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(time.Millisecond)
		b := newRig(t, probeOf("web", f, usual))
		if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "runs already") {
			t.Errorf("got %v", err)
		}
		b.end()
		f.begun(at)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
		if n := len(f.begun(at)); n < 4 {
			t.Errorf("%d runs in the second time", n)
		}
	})
}
