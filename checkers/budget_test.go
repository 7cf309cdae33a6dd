// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestBudgetsHold lets all checks on a target stall at any moment of their
// interval: each goes down within its budget, however many there are.
func TestBudgetsHold(t *testing.T) {
	slow := Timing{Interval: 5 * time.Second, FastInterval: 4 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}
	short := Timing{Interval: time.Second, FastInterval: 100 * time.Millisecond, Timeout: 500 * time.Millisecond, Rise: 1, Fall: 5}
	for _, test := range []struct {
		name    string
		timings []Timing // of the probes, in turn
		probes  int
	}{
		{"1", []Timing{usual}, 1},
		{"2", []Timing{usual}, 2},
		{"4", []Timing{usual}, 4},
		{"8", []Timing{usual}, 8},
		{"7 slow to run again", []Timing{slow}, 7},
		{"9 of three kinds", []Timing{usual, slow, short}, 9},
	} {
		t.Run(test.name, func(t *testing.T) {
			worst := map[Key]time.Duration{}
			for round := range 25 {
				synctest.Test(t, func(t *testing.T) {
					f := newFake(0)
					var probes []Probe
					for i := range test.probes {
						probes = append(probes, probeOf(fmt.Sprintf("c%d", i), f, test.timings[i%len(test.timings)]))
					}
					b := newRig(t, probes...)
					b.pass(20*time.Second + time.Duration(round)*199*time.Millisecond)
					died := time.Now()
					b.atEach = func(tr Transition) { worst[tr.Key] = max(worst[tr.Key], tr.At.Sub(died)) }
					f.stall()
					b.pass(2 * time.Minute)
					if len(worst) != test.probes {
						t.Errorf("%d probes went down, want %d", len(worst), test.probes)
					}
					for _, s := range b.Snapshot() {
						if s.Budget != Budgets(probes)[s.Key] {
							t.Errorf("%s: the snapshot has a budget of %v, want %v", s.Key.Check, s.Budget, Budgets(probes)[s.Key])
						}
						if worst[s.Key] > s.Budget {
							t.Errorf("%s went down after %v, its budget is %v", s.Key.Check, worst[s.Key], s.Budget)
						}
					}
					b.end()
				})
			}
			t.Logf("worst %v", worst)
		})
	}
}

func TestBudgets(t *testing.T) {
	long := usual
	long.Timeout = 4 * time.Second
	for _, test := range []struct {
		name   string
		others []Timing
		want   time.Duration // of the first, which is usual
	}{
		{"alone", nil, usual.Budget()},
		{"two have room", []Timing{long}, usual.Budget()},
		{"the third waits once for one of the two", []Timing{usual, usual}, usual.Budget() + 3*2*time.Second},
		{"the eighth waits for three rounds", []Timing{usual, usual, usual, usual, usual, usual, usual}, usual.Budget() + 3*6*time.Second},
		{"longer ones keep it waiting longer", []Timing{long, long}, usual.Budget() + 3*4*time.Second},
		{"a long and two short", []Timing{long, {Timeout: time.Second}, {Timeout: time.Second}}, usual.Budget() + 3*3*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			probes := []Probe{probeOf("own", nil, usual)}
			for i, timing := range test.others {
				probes = append(probes, probeOf(fmt.Sprintf("c%d", i), nil, timing))
			}
			elsewhere := probeOf("elsewhere", nil, long)
			elsewhere.Key.Target = netip.AddrPortFrom(at.Addr(), 81)
			probes = append(probes, elsewhere)
			if got := Budgets(probes)[probes[0].Key]; got != test.want {
				t.Errorf("budget %v, want %v", got, test.want)
			}
		})
	}
}
