// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"slices"
	"testing"
	"time"
)

// TestTransitions feeds results to a probe and wants to hear of what changes for
// its users, and of nothing else.
func TestTransitions(t *testing.T) {
	pass := Result{Outcome: OutcomePass}
	share := func(percent int) Result { return Result{Outcome: OutcomePass, Percent: percent} }
	hint := func(h Hint) Result { return Result{Outcome: OutcomePass, Hint: h} }
	degraded := func(percent int) Result { return Result{Outcome: OutcomeDegraded, Percent: percent} }
	fail := func(c Class) Result { return Result{Outcome: OutcomeFail, Class: c} }
	unknown := Result{Class: ClassLocal}
	for _, test := range []struct {
		name    string
		results []Result
		told    []int // of these, by their place
	}{
		{"the same over and over", []Result{pass, pass, pass}, []int{0}},
		{"what only people read", []Result{pass, {Outcome: OutcomePass, RTT: time.Second, Message: "slow", Detail: "200"}}, []int{0}},
		{"degraded and back", []Result{pass, degraded(0), degraded(0), pass}, []int{0, 1, 3}},
		{"degraded by more", []Result{degraded(50), degraded(40), degraded(40)}, []int{0, 1}},
		{"a share comes and goes", []Result{pass, share(80), share(80), share(90), pass}, []int{0, 1, 3, 4}},
		{"hints", []Result{pass, hint(HintDrain), hint(HintDrain), hint(HintMaint), pass}, []int{0, 1, 3, 4}},
		{"a failure on the way tells nothing", []Result{share(80), fail(ClassStatus), fail(ClassStatus), share(80)}, []int{0}},
		{"back from the way with another share", []Result{share(80), fail(ClassStatus), share(70)}, []int{0, 2}},
		{"unknown tells nothing", []Result{share(80), unknown, share(80), unknown, pass}, []int{0, 4}},
		{"a share while down counts once it is up", []Result{fail(ClassStatus), share(50), share(60), share(60)}, []int{0, 2}},
		{"soft and hard while down", []Result{fail(ClassStatus), fail(ClassContent), fail(ClassRefused), fail(ClassTimeout), fail(ClassTLS)}, []int{0, 2, 4}},
		{"a degraded server rises", []Result{fail(ClassRefused), degraded(50), degraded(50), degraded(50)}, []int{0, 2}},
		{"the fall is told with its class", []Result{pass, fail(ClassStatus), fail(ClassRefused), fail(ClassRefused), fail(ClassRefused)}, []int{0, 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := probe{timing: &usual}
			var told []int
			for i, r := range test.results {
				now := time.Unix(int64(i), 0)
				tr := p.take(r, time.Duration(i)*time.Second, now)
				if tr == nil {
					continue
				}
				told = append(told, i)
				if tr.Result != r || tr.At != now || tr.Status != StatusUp && tr.Status != StatusDown {
					t.Errorf("result %d was told as %+v", i, *tr)
				}
			}
			if !slices.Equal(told, test.told) {
				t.Errorf("told of %v, want %v", told, test.told)
			}
		})
	}
}
