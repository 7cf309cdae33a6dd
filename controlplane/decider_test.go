// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// decide runs a decider in a bubble of synthetic time while f acts on it, and
// returns the modes that the service went through.
func decide(t *testing.T, cfg *config.Config, f func(*decider)) []string {
	var modes []string
	synctest.Test(t, func(t *testing.T) {
		d := newDecider(api.NewEvents(), slog.New(slog.DiscardHandler))
		d.setProbes = func([]checkers.Probe) {}
		d.update = func(s state.State) {
			mode := s.Services["shop"].Mode.String()
			if len(modes) == 0 || modes[len(modes)-1] != mode {
				modes = append(modes, mode)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		if err := d.ask(state.Loaded{Config: cfg}); err != nil {
			t.Error(err)
		}
		f(d)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := d.alive(); err == nil {
			t.Error("a decider that is gone says that it is alive")
		}
	})
	return modes
}

func TestDeciderGoesThroughSorryAndLinger(t *testing.T) {
	cfg := shop("")
	cfg.Services[0].Sorry.Linger = 10 * time.Second
	got := decide(t, cfg, func(d *decider) {
		d.probed(down(serverA))
		d.probed(down(serverB))
		synctest.Wait()
		d.probed(up(serverB))
		time.Sleep(11 * time.Second)
	})
	if diff := cmp.Diff([]string{"pending", "sorry", "linger", "serve"}, got); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

func TestDeciderDoesNotWaitForEverForResults(t *testing.T) {
	cfg := shop("")
	got := decide(t, cfg, func(*decider) {
		time.Sleep(Budget(cfg, cfg.Services[0]) + 2*time.Second)
	})
	if diff := cmp.Diff([]string{"pending", "sorry"}, got); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

// What happens at once is decided at once: no client hears of a mode between.
func TestDeciderAppliesABatchAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDecider(api.NewEvents(), slog.New(slog.DiscardHandler))
		updates := 0
		d.setProbes = func([]checkers.Probe) {}
		d.update = func(state.State) { updates++ }
		d.applyAll([]letter{{events: []state.Event{state.Loaded{Config: shop("")}}}})
		d.probed(down(serverA))
		d.probed(down(serverB))
		d.probed(up(serverA))
		d.applyAll(d.take())
		if updates != 2 {
			t.Errorf("%d updates, want one for the configuration and one for the batch", updates)
		}
		if mode := d.snapshot.Load().Services["shop"].Mode; mode != state.ModeServe {
			t.Errorf("mode %v, want serve", mode)
		}
		select {
		case <-d.decided:
		default:
			t.Error("not told, though all is decided")
		}
	})
}

// The ways of new checks are there before the checks are, and nobody waits for them
// where there is no new configuration.
func TestDeciderPavesTheWayOfChecks(t *testing.T) {
	d := newDecider(api.NewEvents(), slog.New(slog.DiscardHandler))
	var order []string
	d.setProbes = func([]checkers.Probe) { order = append(order, "probes") }
	d.update = func(state.State) { order = append(order, "update") }
	d.settle = func(*config.Config) { order = append(order, "settle") }
	d.applyAll([]letter{{events: []state.Event{state.Loaded{Config: shop("")}}}})
	d.applyAll([]letter{{events: []state.Event{state.Tick{}}}})
	if diff := cmp.Diff([]string{"update", "settle", "probes", "update"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// What was posted before the end is decided, even if it is all there ever was.
func TestDeciderAppliesWhatIsQueuedBeforeItEnds(t *testing.T) {
	for range 20 { // select takes any of what is ready
		d := newDecider(api.NewEvents(), slog.New(slog.DiscardHandler))
		d.setProbes, d.update = func([]checkers.Probe) {}, func(state.State) {}
		d.applyAll([]letter{{events: []state.Event{state.Loaded{Config: shop("")}}}})
		d.probed(up(serverA))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if mode := d.snapshot.Load().Services["shop"].Mode; mode != state.ModeServe {
			t.Fatalf("mode %v, want serve", mode)
		}
	}
}

// A measurement may come just before the tick that is due: what that would have changed
// of a server has to reach the kernel all the same.
func TestDeciderHandsOnWhatTimeBringsWithALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDecider(api.NewEvents(), slog.New(slog.DiscardHandler))
		var handed state.State
		d.setProbes, d.update = func([]checkers.Probe) {}, func(s state.State) { handed = s }
		cfg := shop("")
		id := state.ServerID{Pool: cfg.Pools[0].Name, Name: cfg.Pools[0].Servers[0].Name}
		word := state.ServerOverride{Mode: state.ServerUp, Weight: 5, Until: time.Now().Add(time.Hour)}
		d.applyAll([]letter{{events: []state.Event{
			state.Loaded{Config: cfg}, state.Probed{Transition: up(serverA)}, state.Probed{Transition: up(serverB)},
			state.ServerOverridden{Server: id, Override: word},
		}}})
		time.Sleep(time.Hour)
		d.applyAll([]letter{{events: []state.Event{state.Measured{}}}})
		if got, want := handed.Servers[id].Weight, d.state.Servers[id].Weight; got != want {
			t.Errorf("the kernel has weight %d, decided is %d", got, want)
		}
	})
}

// Whether it is alive is asked each second, and must not cost a pass over the
// kernel.
func TestDeciderIsAskedForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDecider(api.NewEvents(), slog.New(slog.DiscardHandler))
		updates := 0
		d.setProbes, d.update = func([]checkers.Probe) {}, func(state.State) { updates++ }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		if err := d.ask(state.Loaded{Config: shop("")}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		before := updates
		for range 10 {
			if err := d.alive(); err != nil {
				t.Error(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if updates != before {
			t.Errorf("%d updates", updates-before)
		}
	})
}
