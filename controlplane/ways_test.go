// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// fakeWays is a machine on which every server is its own next hop, on an interface
// that can be changed.
type fakeWays struct {
	mu    sync.Mutex
	index int // of the interface that all ways go by; 0: there are none
	used  map[netip.Addr]int
	looks int
	err   error
}

func (f *fakeWays) with(do func()) { f.mu.Lock(); defer f.mu.Unlock(); do() }

func (f *fakeWays) Path(a netip.Addr) (reconcile.Path, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	switch {
	case f.err != nil:
		return reconcile.Path{}, f.err
	case f.index == 0:
		return reconcile.Path{}, reconcile.ErrNoPath
	}
	return reconcile.Path{Index: f.index, Gateway: a}, nil
}

func (f *fakeWays) Use(p reconcile.Path) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used[p.Gateway]++
	return f.err
}

func (f *fakeWays) Links() (map[string]reconcile.Link, error) {
	return map[string]reconcile.Link{
		"lo": {Index: 1, Loopback: true}, "eth0": {Index: 2, Ethernet: true}, "eth1": {Index: 3, Ethernet: true},
	}, nil
}

func (f *fakeWays) Transmits(int) reconcile.Support { return reconcile.Yes }

// wayRig is an engine that forwards by eBPF on a kernel in memory.
type wayRig struct {
	*engine
	kernel *fake.Kernel
	ways   *fakeWays
	log    bytes.Buffer
}

func newWayRig(t *testing.T) *wayRig {
	t.Helper()
	r := &wayRig{kernel: fake.New(), ways: &fakeWays{index: 2, used: map[netip.Addr]int{}}}
	ledger, err := reconcile.OpenLedger(t.TempDir() + "/owned.json")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	r.engine = &engine{
		Engine: reconcile.New(reconcile.Options{Targets: r.kernel.Targets(ledger), Logger: slog.New(slog.DiscardHandler), Resync: time.Hour}),
		by:     config.ForwardingEBPF, log: log, ways: newWays(r.ways, r.ways, serverAddrs, log),
	}
	return r
}

// run runs the engine and its ways; the function returned ends them.
func (r *wayRig) run(t *testing.T) func() {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- r.Run(ctx) }()
	go func() { done <- r.engine.ways.run(ctx, r.engine) }()
	return func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	}
}

// decide has both servers up.
func (r *wayRig) decide() {
	s, _ := state.Apply(state.New(), time.Now(), state.Loaded{Config: shop("/nowhere")},
		state.Probed{Transition: up("10.0.0.11")}, state.Probed{Transition: up("10.0.0.12")})
	r.Update(s)
}

// interfaces are those that the rows of the servers name.
func (r *wayRig) interfaces() map[int]int {
	out := map[int]int{}
	r.kernel.With(func() {
		for _, s := range r.kernel.ServerTable {
			out[s.Interface]++
		}
	})
	return out
}

func TestWaysFollowTheRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWayRig(t)
		defer r.run(t)()
		r.decide()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := r.interfaces(); got[2] != 2 {
			t.Errorf("servers by interface %v, want two by 2", got)
		}
		r.ways.with(func() { r.ways.index = 3 })
		for range 1000 { // a storm of changes is one look
			r.engine.ways.look()
		}
		looks := 0
		r.ways.with(func() { looks = r.ways.looks })
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.interfaces(); got[3] != 2 {
			t.Errorf("servers by interface %v, want two by 3", got)
		}
		r.ways.with(func() {
			if n := r.ways.looks - looks; n > 4 {
				t.Errorf("%d ways were looked up, want two for each of two looks at most", n)
			}
		})
		r.ways.with(func() { r.ways.index = 2 })
		time.Sleep(2 * wayPeriod) // nobody tells of it
		synctest.Wait()
		if got := r.interfaces(); got[2] != 2 {
			t.Errorf("servers by interface %v, want two by 2 again", got)
		}
	})
}

func TestWaysAreKeptWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWayRig(t)
		defer r.run(t)()
		r.decide()
		time.Sleep(3*wayPeriod + time.Millisecond)
		synctest.Wait()
		r.ways.with(func() {
			for _, a := range []string{"10.0.0.11", "10.0.0.12"} {
				if n := r.ways.used[netip.MustParseAddr(a)]; n != 3 {
					t.Errorf("%s was resolved %d times, want 3", a, n)
				}
			}
			r.ways.index = 1 // loopback has no neighbours
		})
		time.Sleep(wayPeriod)
		synctest.Wait()
		var before int
		r.ways.with(func() { before = len(r.ways.used); clear(r.ways.used) })
		time.Sleep(wayPeriod)
		synctest.Wait()
		r.ways.with(func() {
			if before == 0 || len(r.ways.used) != 0 {
				t.Errorf("on loopback %v were resolved", r.ways.used)
			}
		})
	})
}

// TestWaysFailOnce keeps the ways that are known while the kernel does not answer,
// and says so once.
func TestWaysFailOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWayRig(t)
		stop := r.run(t)
		r.decide()
		time.Sleep(time.Second)
		r.ways.with(func() { r.ways.err = errInjected })
		time.Sleep(10 * wayPeriod)
		synctest.Wait()
		if got := r.interfaces(); got[2] != 2 {
			t.Errorf("servers by interface %v, want two by 2", got)
		}
		stop()
		for _, what := range []string{"the ways to the servers are not all known", "the next hop of a server is not kept resolved"} {
			if n := strings.Count(r.log.String(), what); n != 1 {
				t.Errorf("%q was logged %d times:\n%s", what, n, r.log.String())
			}
		}
	})
}

// TestNoticesAreToldOnce tells of servers without a route when they come to be so.
func TestNoticesAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWayRig(t)
		stop := r.run(t)
		r.decide()
		r.ways.with(func() { r.ways.index = 0 })
		time.Sleep(3 * wayPeriod)
		r.decide() // and again, of the same
		time.Sleep(time.Second)
		r.ways.with(func() { r.ways.index = 2 })
		time.Sleep(3 * wayPeriod)
		r.ways.with(func() { r.ways.index = 0 })
		time.Sleep(3 * wayPeriod)
		stop()
		if n := strings.Count(r.log.String(), "no route leads to the server 10.0.0.11 of pool app"); n != 2 {
			t.Errorf("told %d times, want twice:\n%s", n, r.log.String())
		}
	})
}

// TestAskedAddrs looks up, with IPVS, the ways to those servers alone whose answers
// to checks eBPF has to take in.
func TestAskedAddrs(t *testing.T) {
	for _, tc := range []struct {
		method config.Method
		via    config.Via
		want   []netip.Addr
	}{
		{config.DR, config.ViaDataplane, []netip.Addr{netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.12")}},
		{config.TUN, config.ViaDataplane, []netip.Addr{netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.12")}},
		{config.NAT, config.ViaDataplane, nil},
		{config.DR, config.ViaDirect, nil},
	} {
		t.Run(string(tc.method)+" "+string(tc.via), func(t *testing.T) {
			cfg := shop("/nowhere")
			cfg.Services[0].Method = tc.method
			cfg.Checks[0].Via, cfg.Checks[0].Service = tc.via, cfg.Services[0].Name
			if got := askedAddrs(cfg); !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
