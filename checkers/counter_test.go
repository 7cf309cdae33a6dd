// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"strings"
	"testing"
	"time"
)

// TestCounter feeds outcomes, one letter each: p passes, f fails, u is unknown.
// Each step wants a status, with a bang where users of the probe hear of it.
func TestCounter(t *testing.T) {
	timing := Timing{Rise: 2, Fall: 3}
	tests := []struct {
		name, start string // start: the outcomes that lead to where the case begins
		timing      Timing
		outcomes    string
		want        string
	}{
		{"the first pass decides", "", timing, "p", "up!"},
		{"the first failure decides", "", timing, "f", "down!"},
		{"unknown decides nothing", "", timing, "uup", "unknown unknown up!"},
		{"up stays up", "p", timing, "pp", "up up"},
		{"fall failures lower", "p", timing, "fff", "falling falling down!"},
		{"a pass while falling starts anew", "p", timing, "ffpfff", "falling falling up falling falling down!"},
		{"unknown neither counts nor breaks the row", "p", timing, "fufuf", "falling falling falling falling down!"},
		{"down stays down", "f", timing, "ff", "down down"},
		{"rise passes raise", "f", timing, "pp", "rising up!"},
		{"a failure while rising starts anew", "f", timing, "pfpp", "rising down rising up!"},
		{"unknown while rising", "f", timing, "pup", "rising rising up!"},
		{"one failure is enough with fall 1", "p", Timing{Rise: 1, Fall: 1}, "fp", "down! up!"},
		{"thresholds of zero are those of one", "p", Timing{}, "fp", "down! up!"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c Counter
			for _, letter := range test.start {
				c, _ = c.Next(Result{Outcome: outcomeOf(letter)}, &test.timing, 0)
			}
			var got []string
			for _, letter := range test.outcomes {
				var moved bool
				c, moved = c.Next(Result{Outcome: outcomeOf(letter)}, &test.timing, 0)
				text := c.Status.String()
				if moved {
					text += "!"
				}
				got = append(got, text)
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("after %q, %q: got %s, want %s", test.start, test.outcomes, got, test.want)
			}
		})
	}
}

// TestCounterStricter proves that a lower threshold acts on failures that were
// counted under a higher one.
func TestCounterStricter(t *testing.T) {
	c := Counter{Status: StatusFalling, Fails: 3}
	c, moved := c.Next(Result{Outcome: OutcomeFail}, &Timing{Fall: 2}, 0)
	if c.Status != StatusDown || c.Fails != 4 || !moved {
		t.Errorf("got %+v, moved %v", c, moved)
	}
}

func TestBudget(t *testing.T) {
	tests := []struct {
		name   string
		timing Timing
		want   time.Duration
	}{
		{"timeout above fast interval", Timing{Interval: 5 * time.Second, FastInterval: time.Second, Timeout: 2 * time.Second, Fall: 3}, 11250 * time.Millisecond},
		{"fast interval above timeout", Timing{Interval: 4 * time.Second, FastInterval: 3 * time.Second, Timeout: time.Second, Fall: 2}, 8200 * time.Millisecond},
		{"one failure", Timing{Interval: 2 * time.Second, Timeout: time.Second, Fall: 1}, 3100 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.timing.Budget(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func outcomeOf(letter rune) Outcome {
	switch letter {
	case 'p':
		return OutcomePass
	case 'f':
		return OutcomeFail
	}
	return OutcomeUnknown
}
