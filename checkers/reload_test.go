// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestReloadUnchanged sets the same probes over and over: no counter, timer, or
// run in flight may move.
func TestReloadUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(time.Second)
		f.turn(ClassStatus)
		probe := probeOf("web", f, usual)
		b := newRig(t, probe)
		for range 600 {
			b.pass(100 * time.Millisecond)
			before := b.one()
			b.Set([]Probe{probe})
			if after := b.one(); after != before {
				t.Fatalf("changed by a reload:\n%+v\n%+v", before, after)
			}
		}
		if f.cut != 0 {
			t.Errorf("%d runs were called off", f.cut)
		}
		if n := b.one().Runs; n < 12 || n > 15 {
			t.Errorf("%d runs in a minute of reloads", n)
		}
		b.end()
	})
}

// TestReloadPhase proves that slots are where they were after a probe was changed
// or was gone for a while, and that directors do not share them.
func TestReloadPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		probe := probeOf("web", f, usual)
		b := newRig(t, probe)
		phases := func() (all []time.Duration) {
			b.pass(7 * time.Second) // past the first run
			f.begun(at)
			b.pass(20 * usual.Interval)
			for _, start := range f.begun(at) {
				all = append(all, start.Sub(b.epoch)%usual.Interval)
			}
			return all
		}
		phase := phaseOf("lb1", probe.Key, usual.Interval)
		check := func(when string) {
			t.Helper()
			for _, got := range phases() {
				if late := (got - phase + usual.Interval) % usual.Interval; late > usual.Interval/jitterShare {
					t.Errorf("%s: a run at phase %v, want %v", when, got, phase)
				}
			}
		}
		check("at first")
		probe.Fingerprint = "2"
		b.Set([]Probe{probe})
		check("after a change")
		b.Set(nil)
		b.pass(1234 * time.Millisecond)
		b.Set([]Probe{probe})
		check("after it was gone")
		if other := phaseOf("lb2", probe.Key, usual.Interval); other == phase {
			t.Errorf("another director has phase %v too", other)
		}
		b.end()
	})
}

// TestReloadChanged proves that a changed check keeps the server's status, starts
// counting anew, and is tried soon.
func TestReloadChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := usual
		slow.Interval, slow.FastInterval = time.Hour, 10*time.Minute
		f := newFake(0)
		b := newRig(t, probeOf("web", f, slow))
		b.pass(2 * time.Second)
		b.wantHeard("web up none")
		since := b.one().Since

		f.turn(ClassStatus)
		for b.one().Fails == 0 {
			b.pass(time.Minute)
		}
		if got := b.one(); got.Status != StatusFalling || got.Fails != 1 {
			t.Fatalf("got %+v, want falling", got)
		}
		g := newFake(0)
		probe := probeOf("web", g, usual)
		probe.Fingerprint = "2"
		b.Set([]Probe{probe})
		if got := b.one(); got.Status != StatusFalling || got.Fails != 0 || got.Since != since || got.Timing != usual.sane() {
			t.Errorf("after the change: %+v", got)
		}
		f.begun(at)
		b.pass(time.Second)
		if got := b.one(); got.Status != StatusUp || len(g.begun(at)) == 0 || len(f.begun(at)) != 0 {
			t.Errorf("a second after the change: %+v", got)
		}
		b.wantHeard()
		b.end()
	})
}

// TestReloadInFlight changes a probe, or removes it, while a run of it is in
// flight: the run is called off, and its result counts for nothing.
func TestReloadInFlight(t *testing.T) {
	changed := probeOf("web", newFake(0), usual)
	changed.Fingerprint = "2"
	tests := []struct {
		name  string
		sets  [][]Probe
		heard []string
	}{
		{"changed", [][]Probe{{changed}}, []string{"web up none"}},
		{"removed", [][]Probe{nil}, nil},
		{"removed and back", [][]Probe{nil, {changed}}, []string{"web up none"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := newFake(time.Hour)
				b := newRig(t, probeOf("web", old, usual))
				b.pass(time.Second)
				if !b.one().Running {
					t.Fatal("no run is in flight")
				}
				for _, set := range test.sets {
					b.Set(set)
				}
				synctest.Wait()
				if old.cut != 1 || old.flying[at] != 0 {
					t.Errorf("%d runs called off, %d in flight", old.cut, old.flying[at])
				}
				b.pass(2 * time.Second)
				b.wantHeard(test.heard...)
				want := test.sets[len(test.sets)-1]
				if got := b.Snapshot(); len(got) != len(want) {
					t.Errorf("%d probes, want %d", len(got), len(want))
				}
				for _, n := range b.Stats().Runs {
					if n.Outcome != OutcomePass {
						t.Errorf("counted %+v", n)
					}
				}
				b.end()
			})
		})
	}
}

// TestReloadHeld removes a probe that waits for its place on the target.
func TestReloadHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(time.Hour)
		probes := []Probe{probeOf("a", f, usual), probeOf("b", f, usual), probeOf("c", f, usual)}
		b := newRig(t, probes...)
		b.pass(time.Second)
		if f.flying[at] != PerTarget || b.Stats().Held != 1 {
			t.Fatalf("%d in flight, %d held", f.flying[at], b.Stats().Held)
		}
		var held Key
		var kept []Probe
		for i, state := range b.Snapshot() {
			if state.Running {
				kept = append(kept, probes[i])
				continue
			}
			held = state.Key
		}
		b.Set(kept)
		f.begun(at)
		b.pass(usual.Timeout)
		for _, heard := range b.heard {
			if heard == held.Check+" down timeout" {
				t.Errorf("%s ran after it was removed", held)
			}
		}
		if len(b.heard) != 2 {
			t.Errorf("heard %q", b.heard)
		}
		b.end()
	})
}

// TestReloadFromTransition proves that no lock is held while a transition is
// told.
func TestReloadFromTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(0)
		b := newRig(t)
		b.atEach = func(Transition) {
			b.Set(nil)
			b.Snapshot()
			b.Stats()
		}
		b.Set([]Probe{probeOf("web", f, usual)})
		b.pass(10 * time.Second)
		b.wantHeard("web up none")
		if got := b.Snapshot(); len(got) != 0 {
			t.Errorf("left over: %+v", got)
		}
		b.end()
	})
}

// TestReloadStorm throws random sets at a scheduler whose runs last, and wants no
// target ever checked twice at once by one check.
func TestReloadStorm(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 0))
		f := newFake(300 * time.Millisecond)
		f.lag = 100 * time.Millisecond // several sets come meanwhile
		timing := Timing{Interval: time.Second, FastInterval: 200 * time.Millisecond, Timeout: 250 * time.Millisecond, Rise: 2, Fall: 2}
		patient := timing
		patient.Timeout = time.Second
		b := newRig(t)
		for range 2000 {
			var probes []Probe
			for i := range 20 {
				if random.IntN(4) == 0 {
					continue
				}
				probe := Probe{Key: Key{"web", netip.AddrPortFrom(at.Addr(), uint16(i))}, Checker: f, Timing: timing, Fingerprint: fmt.Sprint(random.IntN(2))}
				if probe.Fingerprint == "1" {
					probe.Timing = patient
				}
				probes = append(probes, probe)
			}
			b.Set(probes)
			if got := len(b.Snapshot()); got != len(probes) {
				t.Fatalf("%d probes, want %d", got, len(probes))
			}
			b.pass(time.Duration(random.IntN(random.IntN(400)+1)) * time.Millisecond)
		}
		for target, most := range f.most {
			if most > 1 {
				t.Errorf("%s: %d runs at once", target, most)
			}
		}
		b.end()
		if len(b.heard) == 0 || f.cut == 0 {
			t.Errorf("nothing happened: %d transitions, %d runs cut", len(b.heard), f.cut)
		}
	})
}
