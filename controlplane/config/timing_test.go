// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// Each key of a check's timing is its own, or that of the defaults.
func TestTimingInherits(t *testing.T) {
	cfg := mustParse(t, minimal+`
health: {defaults: {down_interval: 20s, fatal: [refused, "status:503"], window: {runs: 20, failures: 8}, flap: {half_life: 1m}, on_unknown: fail}}
checks:
  - {name: plain, tcp: {}}
  - {name: own, tcp: {}, down_interval: 30s, fatal: [tls], window: {failures: 5}, flap: {suppress: 3000}, on_unknown: pass, unknown_grace: 0s}
  - {name: none, tcp: {}, fatal: [], window: {runs: 0, failures: 0}, flap: {half_life: 0s}, on_unknown: hold}
`)
	faults := func(names ...string) checkers.Faults {
		f, err := checkers.ParseFaults(names)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	usual := checkers.Timing{
		Interval: 5 * time.Second, FastInterval: time.Second, DownInterval: 20 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
		Fatal: faults("status:503", "refused"), Window: checkers.Window{Runs: 20, Failures: 8},
		Flap:      checkers.Damping{Penalty: 1000, Suppress: 2000, Reuse: 750, HalfLife: time.Minute},
		OnUnknown: checkers.UnknownFail, UnknownGrace: 30 * time.Second,
	}
	own := usual
	own.DownInterval, own.Fatal, own.Window.Failures, own.Flap.Suppress = 30*time.Second, faults("tls"), 5, 3000
	own.OnUnknown, own.UnknownGrace = checkers.UnknownPass, 0
	none := usual
	none.Fatal, none.Window, none.Flap, none.OnUnknown = checkers.Faults{}, checkers.Window{}, checkers.Damping{}, checkers.UnknownHold
	for i, want := range []checkers.Timing{usual, own, none} {
		if got := cfg.Checks[i]; got.Timing != want {
			t.Errorf("check %s: %+v, want %+v", got.Name, got.Timing, want)
		}
	}
}
