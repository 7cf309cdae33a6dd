// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestPulse lets beats come late, and the machine sleep.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept time.Duration
		p := newPulse(time.Now())
		p.asleep = func() time.Duration { return slept }
		p.rest()
		for _, step := range []struct {
			awake, asleep time.Duration
			want          time.Duration // lost, in sum
		}{
			{beatEvery, 0, 0},
			{2 * beatEvery, 0, 0},
			{time.Second + beatEvery, 0, time.Second},
			{beatEvery, time.Hour, time.Hour + time.Second},
			{beatEvery, time.Millisecond, time.Hour + time.Second},
			{time.Minute + beatEvery, time.Minute, time.Hour + time.Second + 2*time.Minute + time.Millisecond},
		} {
			time.Sleep(step.awake)
			slept += step.asleep
			if got := p.feel(); got != step.want || p.lost() != got {
				t.Errorf("after %v awake and %v asleep: lost %v, want %v", step.awake, step.asleep, got, step.want)
			}
		}
	})
}

// TestStandstill lets the machine sleep while runs are in flight: none of those
// that then fail counts, and a server that is dead still goes down.
func TestStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept time.Duration
		f := newFake(0)
		strict := usual
		strict.Fall = 1

		b := newRigOf(t, func(s *Scheduler) { s.pulse.asleep = func() time.Duration { return slept } }, probeOf("web", f, strict))
		b.pass(20 * time.Second)
		b.wantHeard("web up none")
		f.stall()
		for !b.one().Running {
			b.pass(100 * time.Millisecond)
		}
		slept += time.Hour
		b.pass(usual.Timeout)
		b.wantHeard()
		if got := b.one(); got.Status != StatusUp || got.Fails != 0 || b.Stats().Discarded != 1 {
			t.Errorf("after the sleep: %+v, %d discarded", got, b.Stats().Discarded)
		}
		b.pass(time.Second + usual.Timeout)
		b.wantHeard("web down timeout")
		b.end()
	})
}

// TestStandstillOverAndOver sleeps during each run: a director that hardly gets
// to run still finds out who is dead.
func TestStandstillOverAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept time.Duration
		f := newFake(0)
		b := newRigOf(t, func(s *Scheduler) { s.pulse.asleep = func() time.Duration { return slept } }, probeOf("web", f, usual))
		b.pass(20 * time.Second)
		f.stall()
		for range 600 {
			slept += time.Second
			b.pass(100 * time.Millisecond)
		}
		b.wantHeard("web up none", "web down timeout")
		if n := b.Stats().Discarded; n != 1 {
			t.Errorf("%d discarded", n)
		}
		b.end()
	})
}

// TestRespread lets all probes come due in a standstill: they are spread, and not
// started all at once.
func TestRespread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler(Options{Shards: 1})
		f := newFake(0)
		var probes []Probe
		for i := range 1000 {
			probes = append(probes, Probe{Key: Key{"web", targetOf(i)}, Checker: f, Timing: usual})
		}
		s.Set(probes)
		sh := s.shards[0]
		sh.plan()
		time.Sleep(time.Hour) // nobody beats meanwhile
		ctx, stop := context.WithCancel(t.Context())
		if wait := sh.startDue(ctx); wait <= 0 || sh.running > 10 {
			t.Errorf("%d runs at once; the next in %v", sh.running, wait)
		}
		soon := 0
		for _, p := range sh.queue {
			if p.due < sh.now()+100*time.Millisecond {
				soon++
			}
		}
		if soon < 50 || soon > 150 {
			t.Errorf("%d of 1000 runs are due in the first tenth of a second", soon)
		}
		stop()
		sh.runs.Wait()
	})
}

// TestStandstillDelaysOnce stands still for a good part of every run, as on a
// machine that is always busy: a dead server is down after one run more than
// usual.
func TestStandstillDelaysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slept time.Duration
		f := newFake(0)
		b := newRigOf(t, func(s *Scheduler) { s.pulse.asleep = func() time.Duration { return slept } }, probeOf("web", f, usual))
		b.pass(20 * time.Second)
		f.turn(ClassRefused)
		f.takes = 500 * time.Millisecond
		for range 600 {
			slept += 300 * time.Millisecond
			b.pass(100 * time.Millisecond)
			if b.one().Status == StatusDown {
				break
			}
		}
		b.wantHeard("web up none", "web down refused")
		if got := b.Stats().Discarded; got != 1 {
			t.Errorf("%d failures were discarded until it was down, want 1", got)
		}
		b.end()
	})
}
