// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// says is a result that passes and says more than that.
func says(addr string, r checkers.Result) state.Event {
	p := result(addr, up).(state.Probed)
	p.Transition.Result = r
	return p
}

// tell is an operator's word on a server.
func tell(name string, o state.ServerOverride) state.Event {
	return state.ServerOverridden{Server: state.ServerID{Pool: "app", Name: name}, Override: o}
}

// TestDeriveWeights: what each engine is told where verdicts are more than up and down.
func TestDeriveWeights(t *testing.T) {
	below := func(policy config.Below) func(*config.Config) {
		return func(c *config.Config) {
			for i := range c.Services {
				c.Services[i].Quorum.Min, c.Services[i].Quorum.Below = 2, policy
			}
		}
	}
	degraded := checkers.Result{Outcome: checkers.OutcomeDegraded, Percent: 20}
	for name, test := range map[string]struct {
		edit       func(*config.Config)
		events     []state.Event
		ipvs, ebpf string
	}{
		"degraded":    {nil, []state.Event{says(a, degraded), result(b, up)}, "10.0.0.11:8080 nat 20, 10.0.0.12:8080 nat 50", "state 1 weight 20, state 1 weight 50"},
		"a hint":      {nil, []state.Event{says(a, checkers.Result{Hint: checkers.HintDrain}), result(b, up)}, "10.0.0.11:8080 nat 0, 10.0.0.12:8080 nat 50", "state 2 weight 100, state 1 weight 50"},
		"maint":       {nil, []state.Event{result(a, up), result(b, up), tell("a", state.ServerOverride{Mode: state.ServerMaint})}, "10.0.0.11:8080 dead, 10.0.0.12:8080 nat 50", "state 3 weight 100, state 1 weight 50"},
		"drained":     {nil, []state.Event{result(a, up), result(b, up), tell("a", state.ServerOverride{Mode: state.ServerDrain})}, "10.0.0.11:8080 nat 0, 10.0.0.12:8080 nat 50", "state 2 weight 100, state 1 weight 50"},
		"forced up":   {nil, []state.Event{result(a, hard), result(b, up), tell("a", state.ServerOverride{Mode: state.ServerUp, Weight: 0.1})}, "10.0.0.11:8080 nat 10, 10.0.0.12:8080 nat 50", "state 1 weight 10, state 1 weight 50"},
		"below, keep": {below(config.BelowKeep), []state.Event{result(a, hard), result(b, up)}, "10.0.0.11:8080 dead, 10.0.0.12:8080 nat 50", "state 3 weight 100, state 1 weight 50"},
		"below, all":  {below(config.BelowAll), []state.Event{result(a, hard), result(b, soft)}, "10.0.0.11:8080 nat 100, 10.0.0.12:8080 nat 50", "state 1 weight 100, state 1 weight 50"},
		"below, all but one in maintenance": {below(config.BelowAll), []state.Event{result(a, hard), result(b, up), tell("b", state.ServerOverride{Mode: state.ServerMaint})},
			"10.0.0.11:8080 nat 100, 10.0.0.12:8080 dead", "state 1 weight 100, state 3 weight 50"},
	} {
		t.Run(name, func(t *testing.T) {
			edit := func(c *config.Config) {
				if test.edit != nil {
					test.edit(c)
				}
			}
			shop := tcp("192.0.2.10:80")
			if got := destinations(derive(edit, true, test.events...).Virtuals[shop]); got != test.ipvs {
				t.Errorf("IPVS has %s, want %s", got, test.ipvs)
			}
			w := deriveEBPF(func(c *config.Config, _ *reconcile.Env) {
				for i := range c.Services {
					c.Services[i].Scheduler = "wrr"
				}
				edit(c)
			}, test.events...)
			var got []string
			for _, m := range w.Shares[shop].Members {
				got = append(got, fmt.Sprintf("state %d weight %d", w.Servers[m.Server].State, m.Weight))
			}
			if strings.Join(got, ", ") != test.ebpf {
				t.Errorf("eBPF has %s, want %s", strings.Join(got, ", "), test.ebpf)
			}
		})
	}
}

// TestBelowAllLeavesTheOtherFamily: a service of the other family that has its quorum
// goes on with its own servers.
func TestBelowAllLeavesTheOtherFamily(t *testing.T) {
	w := derive(func(c *config.Config) {
		for i := range c.Services {
			c.Services[i].Quorum.Below = config.BelowAll
		}
		c.Pools[0].Servers = append(c.Pools[0].Servers, server("d", "fd00::14", 8080, 50))
	}, true, result(a, hard), result(b, hard), result(c, hard), result("[fd00::14]:8080", up))
	if got, want := destinations(w.Virtuals[tcp("[2001:db8::10]:80")]), "[fd00::13]:8080 dead, [fd00::14]:8080 nat 50"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
