// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSlotsReloadLosesNobody changes two probes that have the places on a target
// and wait for a slot, while others wait for these places: they still get them.
func TestSlotsReloadLosesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := costly{newFake(0), Slots{"exec", 1}}
		blocker := costly{newFake(10 * time.Second), Slots{"exec", 1}}
		timing := usual
		timing.Timeout = 20 * time.Second
		timing.Interval = 20 * time.Second
		set := func(print func(check string) string) (probes []Probe) {
			for _, check := range []string{"a", "b", "c", "d", "e"} {
				probes = append(probes, Probe{Key: Key{check, targetOf(1)}, Checker: f, Timing: timing, Fingerprint: print(check)})
			}
			return append(probes, Probe{Key: Key{"blocker", targetOf(0)}, Checker: blocker, Timing: timing})
		}
		b := newRig(t, set(func(string) string { return "1" })...)
		sh, waits := b.shards[0], map[string]bool{}
		for range 200 {
			b.pass(100 * time.Millisecond)
			if sh.groups["exec"].in == 1 && len(sh.groups["exec"].waiting) == 2 {
				for _, p := range sh.groups["exec"].waiting {
					waits[p.key.Check] = true
				}
			}
			if l := sh.places[place{targetOf(1), sh.groups["exec"]}]; len(waits) == 2 && l != nil && len(l.waiting) == 3 {
				break
			}
			clear(waits)
		}
		if len(waits) != 2 {
			t.Fatalf("%d have a place and wait for the slot, want 2", len(waits))
		}
		b.Set(set(func(check string) string {
			if waits[check] {
				return "2"
			}
			return "1"
		}))
		b.pass(5 * time.Minute)
		for _, s := range b.Snapshot() {
			if s.Runs < 5 {
				t.Errorf("%s: %d runs in five minutes", s.Key, s.Runs)
			}
		}
		b.end()
	})
}
