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

// TestCounterRules feeds words, one for each run: pass, unknown, or a failure as
// Timing.Fatal names it. A word that begins with + lets that much time go by;
// otherwise a second passes before each run.
func TestCounterRules(t *testing.T) {
	fatal := Timing{Rise: 1, Fall: 3, Fatal: faults(t, "refused", "status:503")}
	window := Timing{Rise: 1, Fall: 3, Window: Window{Runs: 5, Failures: 3}}
	narrow := Timing{Rise: 1, Fall: 9, Window: Window{Runs: 2, Failures: 2}}
	flap := Timing{Rise: 1, Fall: 1, Flap: Damping{Penalty: 1000, Suppress: 1500, Reuse: 750, HalfLife: time.Minute}}
	hold := Timing{Rise: 2, Fall: 2, UnknownGrace: 10 * time.Second}
	fail, pass := hold, hold
	fail.OnUnknown, pass.OnUnknown = UnknownFail, UnknownPass
	for _, test := range []struct {
		name   string
		timing Timing
		words  string
		want   string // the status after each word that is a run
	}{
		{"a fatal class", fatal, "pass refused", "up! down!"},
		{"a fatal detail", fatal, "pass status:503", "up! down!"},
		{"another detail", fatal, "pass status:500 status:500 status:500", "up! falling falling down!"},
		{"another class", fatal, "pass timeout timeout timeout", "up! falling falling down!"},
		{"fatal on the way", fatal, "pass timeout refused", "up! falling down!"},
		{"fatal while down", fatal, "refused pass refused", "down! up! down!"},
		{"a window fills with gaps", window, "pass tls pass tls pass tls", "up! falling up falling up down!"},
		{"failures fall out of the window", window, "pass tls pass tls pass pass tls", "up! falling up falling up up falling"},
		{"a row counts before a window does", window, "pass tls tls tls", "up! falling falling down!"},
		{"unknown is not in the window", window, "pass tls unknown tls unknown pass tls", "up! falling falling falling falling up down!"},
		{"a window forgets when the server comes up", window, "pass tls pass tls pass tls pass tls pass tls", "up! falling up falling up down! up! falling up falling"},
		{"a window may be shorter than fall", narrow, "pass tls tls", "up! falling down!"},
		{"a full window while down changes nothing", window, "tls tls tls tls pass", "down! down down down up!"},
		{"one fall is not damped", flap, "pass tls pass", "up! down! up!"},
		{"two in short are", flap, "pass tls pass tls pass pass", "up! down! up! down!s risings risings"},
		{"until the penalty is small", flap, "pass tls pass tls +80s pass pass pass", "up! down! up! down!s risings risings risings"},
		{"and no longer", flap, "pass tls pass tls pass +85s pass", "up! down! up! down!s risings up!"},
		{"failures meanwhile add nothing", flap, "pass tls pass tls tls tls pass tls +85s pass", "up! down! up! down!s downs downs risings downs up!"},
		{"the sum has a bound", Timing{Rise: 1, Fall: 1, Flap: Damping{Penalty: 1e6, Suppress: 1, Reuse: 1, HalfLife: time.Minute}},
			"pass tls +115s pass +5s pass", "up! down!s risings up!"},
		{"falls far apart are forgiven", flap, "pass tls pass +5m tls pass", "up! down! up! down! up!"},
		{"hold", hold, "pass unknown +1h unknown unknown", "up! up up up"},
		{"unknown fails after the grace", fail, "pass unknown +8s unknown unknown unknown pass", "up! up up falling down! rising"},
		{"unknown passes after the grace", pass, "tls unknown +9s unknown unknown", "down! down rising up!"},
		{"the grace begins anew with a result", fail, "pass unknown +8s pass unknown unknown", "up! up up up up"},
		{"nothing known at all", fail, "unknown +10s unknown", "unknown down!"},
		{"nothing known at all, passes", pass, "unknown +10s unknown", "unknown up!"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Counter
			var at time.Duration
			var got []string
			for _, word := range strings.Fields(test.words) {
				if wait, ok := strings.CutPrefix(word, "+"); ok {
					d, err := time.ParseDuration(wait)
					if err != nil {
						t.Fatal(err)
					}
					at += d
					continue
				}
				at += time.Second
				var moved bool
				c, moved = c.Next(resultOf(t, word), &test.timing, at)
				text := c.Status.String()
				if moved {
					text += "!"
				}
				if c.Suppressed {
					text += "s"
				}
				got = append(got, text)
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("%s: got %s, want %s", test.words, got, test.want)
			}
		})
	}
}

// TestCounterFlaps counts falls, of which the first result is none.
func TestCounterFlaps(t *testing.T) {
	var c Counter
	timing := Timing{Rise: 1, Fall: 1}
	for _, letter := range "ffpfpffpp" {
		c, _ = c.Next(Result{Outcome: outcomeOf(letter)}, &timing, 0)
	}
	if c.Flaps != 2 {
		t.Errorf("%d flaps, want 2", c.Flaps)
	}
	if got := c.renewed(); got.Flaps != 2 || got.Passes != 0 || got.Status != StatusUp {
		t.Errorf("after a reload: %+v", got)
	}
}

func faults(t *testing.T, names ...string) Faults {
	t.Helper()
	f, err := ParseFaults(names)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := ParseFaults(f.Names()); got != f {
		t.Errorf("%q reads back as %q", f.Names(), got.Names())
	}
	return f
}

// resultOf makes a result of a word.
func resultOf(t *testing.T, word string) Result {
	t.Helper()
	switch word {
	case "pass":
		return Result{Outcome: OutcomePass}
	case "unknown":
		return Result{Class: ClassLocal}
	}
	r := Result{Outcome: OutcomeFail}
	class, detail, _ := strings.Cut(word, ":")
	if err := r.Class.UnmarshalText([]byte(class)); err != nil {
		t.Fatal(err)
	}
	r.Detail = detail
	return r
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
		{"a window shorter than fall", Timing{Interval: 2 * time.Second, Timeout: time.Second, Fall: 9, Window: Window{Runs: 5, Failures: 2}}, 4100 * time.Millisecond},
		{"a window longer than fall", Timing{Interval: 2 * time.Second, Timeout: time.Second, Fall: 1, Window: Window{Runs: 5, Failures: 2}}, 3100 * time.Millisecond},
		{"down interval and fatal change nothing", Timing{Interval: 2 * time.Second, Timeout: time.Second, DownInterval: time.Hour, Fall: 1, Fatal: faults(t, "refused")}, 3100 * time.Millisecond},
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
