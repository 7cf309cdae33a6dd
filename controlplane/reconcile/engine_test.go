// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// TestOrder shows the order of a first start and of a full stop.
func TestOrder(t *testing.T) {
	r := newRig(t)
	var calls []string
	r.kernel.Changed = func(call string) { calls = append(calls, call) }
	w := derive(func(c *config.Config) {
		c.Services = c.Services[:1]
		c.Services[0].Addresses, c.Services[0].Ports = c.Services[0].Addresses[:1], c.Services[0].Ports[:1]
	}, true, result(a, up), result(b, soft))
	r.reach(t, w)
	if err := r.engine.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"put page 1",
		"set knob conn_reuse_mode to 1",
		"set knob expire_nodest_conn to 1",
		"put virtual 192.0.2.10:80",
		"put destination 10.0.0.11:8080 of 192.0.2.10:80 weight 100",
		"put destination 10.0.0.12:8080 of 192.0.2.10:80 weight 0",
		"put row 192.0.2.10:80 mode 0",
		"attach to eth0",
		"add address eth0 192.0.2.10",

		"remove address eth0 192.0.2.10",
		"delete destination 10.0.0.11:8080 of 192.0.2.10:80",
		"delete destination 10.0.0.12:8080 of 192.0.2.10:80",
		"delete virtual 192.0.2.10:80",
		"delete row 192.0.2.10:80",
		"detach from eth0",
		"delete page 1",
		"set knob conn_reuse_mode to 0",
		"set knob expire_nodest_conn to 0",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("calls:\n%q\nwant:\n%q", calls, want)
	}
}

// TestReplacedServers gives a pool other servers: the old ones go on until a new
// one is known to live, and only then does the new come and the old go, each when
// it has no connections left.
func TestReplacedServers(t *testing.T) {
	r := newRig(t)
	one := func(c *config.Config) {
		c.Services = c.Services[:1]
		c.Services[0].Ports = c.Services[0].Ports[:1]
	}
	cfg := baseConfig()
	one(cfg)
	s, _ := state.Apply(state.New(), day, state.Loaded{Config: cfg}, result(a, up), result(b, up))
	r.reach(t, reconcile.Derive(s, reconcile.Env{Forwarding: config.ForwardingIPVS}))
	other := baseConfig()
	one(other)
	other.Pools[0].Servers = []config.Server{server("a", "10.0.0.21", 8080, 100), server("b", "10.0.0.22", 8080, 50)}
	var calls []string
	r.kernel.Changed = func(call string) { calls = append(calls, call) }
	s, _ = state.Apply(s, day, state.Loaded{Config: other})
	r.reach(t, reconcile.Derive(s, reconcile.Env{Forwarding: config.ForwardingIPVS}))
	if len(calls) > 0 {
		t.Errorf("before anything is known of the new servers: %q", calls)
	}
	s, _ = state.Apply(s, day, result("10.0.0.21:8080", up))
	w := reconcile.Derive(s, reconcile.Env{Forwarding: config.ForwardingIPVS})
	busy := netip.MustParseAddrPort("10.0.0.12:8080")
	r.kernel.Busy = map[netip.AddrPort]bool{busy: true}
	r.reach(t, w)
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(calls, want) {
			t.Errorf("calls:\n%q\nwant:\n%q", calls, want)
		}
		calls = nil
	}
	expect("put destination 10.0.0.21:8080 of 192.0.2.10:80 weight 100",
		"put destination 10.0.0.11:8080 of 192.0.2.10:80 weight 0",
		"put destination 10.0.0.12:8080 of 192.0.2.10:80 weight 0",
		"delete destination 10.0.0.11:8080 of 192.0.2.10:80")
	r.start(t) // the next daemon knows nothing of it
	r.reach(t, w)
	calls = nil
	r.reach(t, w)
	expect() // as long as it has connections
	delete(r.kernel.Busy, busy)
	r.reach(t, w)
	expect("delete destination 10.0.0.12:8080 of 192.0.2.10:80")
	if len(r.repairs) > 0 {
		t.Errorf("repairs %q", r.repairs)
	}
}

// run runs the rig's engine inside a synctest bubble; the function returned ends it.
func (r *rig) run(t *testing.T) func() {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.engine.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

// reads counts how often the row map is read: once in a pass, and once more after
// changes.
func (r *rig) reads() *int {
	n := new(int)
	r.kernel.Fail = func(call string) error {
		if call == "read rows" {
			*n++
		}
		return nil
	}
	return n
}

// TestRunCoalesces makes one pass of many updates, and the newest wins.
func TestRunCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		n := r.reads()
		defer r.run(t)()
		scenes := story()
		for _, s := range scenes[:6] {
			r.engine.Update(s.want)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if *n != 2 {
			t.Errorf("%d reads, want those of one pass", *n)
		}
		other := newRig(t)
		other.reach(t, scenes[5].want)
		if got, want := contents(r.kernel), contents(other.kernel); got != want {
			t.Errorf("the kernel holds\n%s\ninstead of\n%s", got, want)
		}
	})
}

// TestRunResyncs repairs drift at the next full pass, on demand or by the clock.
func TestRunResyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		n := r.reads()
		defer r.run(t)()
		time.Sleep(time.Hour)
		synctest.Wait()
		if *n != 0 {
			t.Errorf("%d passes with nothing wanted yet", *n)
		}
		r.engine.Update(story()[1].want)
		time.Sleep(time.Second)
		synctest.Wait()
		before := contents(r.kernel)
		r.kernel.With(func() { clear(r.kernel.IPVS) })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := contents(r.kernel); got != before {
			t.Errorf("30 s later the kernel holds\n%s", got)
		}
		r.kernel.With(func() { clear(r.kernel.RowTable) })
		r.engine.Resync()
		time.Sleep(25 * time.Millisecond)
		synctest.Wait()
		if got := contents(r.kernel); got != before {
			t.Errorf("after the call for a pass the kernel holds\n%s", got)
		}
		if len(r.repairs) == 0 {
			t.Error("no repair was reported")
		}
	})
}

// TestRunBacksOff retries a failure at doubling intervals, and begins anew after
// a success.
func TestRunBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var at []time.Duration
		begin := time.Now()
		broken := true
		r.kernel.Fail = func(call string) error {
			if call == "add address eth0 192.0.2.10" && broken {
				at = append(at, time.Since(begin))
				return errInjected
			}
			return nil
		}
		defer r.run(t)()
		r.engine.Update(story()[1].want)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		ms := time.Millisecond
		want := []time.Duration{20 * ms, 120 * ms, 320 * ms, 720 * ms, 1520 * ms, 3120 * ms, 6320 * ms, 11320 * ms, 16320 * ms}
		if !slices.Equal(at, want) {
			t.Errorf("tries at %v, want %v", at, want)
		}
		s := status(r.engine, "addresses")
		if s.InSync || s.Errors != uint64(len(want)) || s.LastError == "" {
			t.Errorf("status %+v", s)
		}
		if other := status(r.engine, "ipvs"); !other.InSync || other.Rows == 0 {
			t.Errorf("status of a target that is well: %+v", other)
		}
		r.kernel.With(func() { broken = false })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if s := status(r.engine, "addresses"); !s.InSync || s.LastError != "" || s.LastSync.IsZero() || s.Rows != 5 {
			t.Errorf("status after the end of the failure: %+v", s)
		}
	})
}

// TestUpdateNeverBlocks updates while no Run is there to take it.
func TestUpdateNeverBlocks(t *testing.T) {
	r := newRig(t)
	for range 100 {
		r.engine.Update(story()[0].want)
		r.engine.Resync()
	}
}

// TestRunEndsWithAWholePass stops the engine in the midst of a pass: it makes
// another, since half of one is nothing to leave behind.
func TestRunEndsWithAWholePass(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	r.kernel.Changed = func(string) {
		if calls++; calls == 3 {
			cancel()
		}
	}
	r.engine.Update(story()[1].want)
	if err := r.engine.Run(ctx); err != nil {
		t.Errorf("run: %v", err)
	}
	for _, s := range r.engine.Status() {
		if !s.InSync {
			t.Errorf("%s is not in sync", s.Name)
		}
	}
}

// TestChangeIsNoDrift sees that a change of mode counts as such and not as drift.
func TestChangeIsNoDrift(t *testing.T) {
	r := newRig(t)
	s, _ := state.Apply(state.New(), day, state.Loaded{Config: baseConfig()})
	r.reach(t, reconcile.Derive(s, reconcile.Env{Forwarding: config.ForwardingIPVS}))
	for _, scene := range story() {
		r.reach(t, scene.want)
	}
	if len(r.repairs) > 0 {
		t.Errorf("repairs %q", r.repairs)
	}
}

func status(e *reconcile.Engine, name string) reconcile.TargetStatus {
	for _, s := range e.Status() {
		if s.Name == name {
			return s
		}
	}
	return reconcile.TargetStatus{}
}

// TestLastDecisionIsCarriedOut stops the engine before the pause ends in which
// further changes could have joined.
func TestLastDecisionIsCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.run(t)
		r.engine.Update(derive(func(*config.Config) {}, true, result(a, up)))
		if slices.ContainsFunc(r.engine.Status(), func(s reconcile.TargetStatus) bool { return s.InSync }) {
			t.Error("a target is in sync before a pass was made")
		}
		stop()
		if len(r.kernel.RowTable) == 0 {
			t.Error("the kernel never heard of the last decision")
		}
		for _, s := range r.engine.Status() {
			if !s.InSync {
				t.Errorf("%s is not in sync after the last pass", s.Name)
			}
		}
		reads := r.reads()
		r.run(t)()
		if *reads != 0 {
			t.Error("a pass was made though nothing new was wanted")
		}
	})
}

// TestLastPassThatFailsIsNoFailureOfTheDaemon stops the engine cleanly though its
// last decision can't be carried out.
func TestLastPassThatFailsIsNoFailureOfTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.kernel.Fail = func(string) error { return errInjected }
		stop := r.run(t) // and no error of Run
		r.engine.Update(derive(func(*config.Config) {}, true, result(a, up)))
		stop()
		if !strings.Contains(r.log.String(), "the last pass failed") {
			t.Errorf("the log says nothing of it:\n%s", r.log.String())
		}
	})
}

// TestPassCutShortIsNone has a pass end with its context before it has done
// anything, as one of a reload does when the daemon stops.
func TestPassCutShortIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.Update(derive(func(*config.Config) {}, true, result(a, up)))
		short, cancel := context.WithCancel(t.Context())
		r.kernel.Changed = func(string) { cancel() }
		if err := r.engine.Sync(short); err == nil {
			t.Error("a pass that was cut short has succeeded")
		}
		r.run(t)()
		if len(r.kernel.RowTable) == 0 {
			t.Error("the kernel never heard of the last decision")
		}
	})
}

// TestRetiredUDP deletes at once what has no connections that could end.
func TestRetiredUDP(t *testing.T) {
	r := newRig(t)
	r.reach(t, derive(func(*config.Config) {}, true, result(a, up), result(b, up)))
	r.kernel.Busy = map[netip.AddrPort]bool{netip.MustParseAddrPort(b): true}
	r.reach(t, derive(func(c *config.Config) { c.Pools[0].Servers = c.Pools[0].Servers[:1] }, true, result(a, up)))
	for v, n := range map[config.Virtual]int{udp("192.0.2.12:53"): 1, tcp("192.0.2.13:80"): 2} {
		if got := r.kernel.IPVS[v].Destinations; len(got) != n {
			t.Errorf("%s has the destinations %v, want %d", v.Addr, got, n)
		}
	}
}
