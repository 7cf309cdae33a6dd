// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/controlplane/state"
	kernel "github.com/maitred-lb/maitred/maps"
)

// balanced is a rig on which the eBPF engine forwards shop's first address and
// port, with what becomes of it.
type balanced struct {
	*rig
	state state.State
	calls []string
}

func newBalanced(t *testing.T, edit func(*config.Config)) *balanced {
	t.Helper()
	r := &balanced{rig: newRig(t), state: state.New()}
	r.kernel.Changed = func(call string) { r.calls = append(r.calls, call) }
	r.then(t, state.Loaded{Config: oneService(edit)}, result(a, up), result(b, up))
	return r
}

func oneService(edit func(*config.Config)) *config.Config {
	cfg := baseConfig()
	forwardBy(config.NAT, cfg)
	cfg.Services = cfg.Services[:1]
	cfg.Services[0].Ports = cfg.Services[0].Ports[:1]
	cfg.Pools[0].Servers = cfg.Pools[0].Servers[:2]
	edit(cfg)
	return cfg
}

// then lets something happen, and looks that nothing points at nothing meanwhile.
func (r *balanced) then(t *testing.T, events ...state.Event) {
	t.Helper()
	r.state, _ = state.Apply(r.state, day, events...)
	r.calls = nil
	r.reach(t, reconcile.Derive(r.state, machine(config.ForwardingEBPF)))
	if what := unbalanced(r.kernel); what != "" {
		t.Error(what)
	}
}

func (r *balanced) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.calls, want) {
		t.Errorf("calls:\n%s\nwant:\n%s", strings.Join(r.calls, "\n"), strings.Join(want, "\n"))
	}
}

// TestBalanceOrder shows the order of a first start, of deaths, and of a full stop.
func TestBalanceOrder(t *testing.T) {
	r := newBalanced(t, viaShop)
	r.expect(t,
		"put page 1",
		"set knob net/ipv4/conf/lo/accept_local to 1",
		"put device 2", "put device 3", "put setting",
		"put server 10.0.0.11:8080 state 1", "put server 10.0.0.12:8080 state 1",
		"put mark 0x6d7989f9", "put mark 0x6d798eb5", "put forward 192.0.2.10:80 to 0 servers",
		"put back 10.0.0.11:8080 to 1 services", "put back 10.0.0.12:8080 to 1 services",
		"put forward 192.0.2.10:80 to 2 servers",
		"put row 192.0.2.10:80 mode 0",
		"attach probe", "attach to eth0", "attach to eth1",
		"add address eth0 192.0.2.10",
	)
	r.then(t, result(b, hard))
	r.expect(t, "put server 10.0.0.12:8080 state 3", "put forward 192.0.2.10:80 to 1 servers")
	r.then(t, result(b, up))
	r.expect(t, "put server 10.0.0.12:8080 state 1", "put forward 192.0.2.10:80 to 2 servers")
	r.then(t, result(b, soft))
	r.expect(t, "put forward 192.0.2.10:80 to 1 servers", "put server 10.0.0.12:8080 state 2")
	r.then(t, result(a, hard))
	r.expect(t, "put row 192.0.2.10:80 mode 1", "put forward 192.0.2.10:80 to 2 servers", "put server 10.0.0.11:8080 state 3")
	r.then(t, result(a, up))
	r.expect(t, "put server 10.0.0.11:8080 state 1", "put forward 192.0.2.10:80 to 1 servers", "put row 192.0.2.10:80 mode 2")
	r.calls = nil
	if err := r.engine.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.expect(t,
		"remove address eth0 192.0.2.10",
		"put server 10.0.0.11:8080 state 2",
		"delete mark 0x6d7989f9", "delete mark 0x6d798eb5",
		"delete forward 192.0.2.10:80",
		"free server 10.0.0.11:8080", "free server 10.0.0.12:8080",
		"delete back 10.0.0.11:8080", "delete back 10.0.0.12:8080",
		"delete row 192.0.2.10:80",
		"detach probe", "put setting", "detach from eth0", "detach from eth1",
		"delete page 1",
		"delete device 2", "delete device 3",
		"set knob net/ipv4/conf/lo/accept_local to 0",
	)
}

// TestDeathWaitsForNobody has the rings of many services fail, and a server die: its
// death is in the kernel, and the first that is changed.
func TestDeathWaitsForNobody(t *testing.T) {
	r := newRig(t)
	r.reach(t, storyOf(config.ForwardingEBPF, config.NAT)[1].want)
	r.kernel.Fail = func(call string) error {
		if strings.HasPrefix(call, "put forward") {
			return errInjected
		}
		return nil
	}
	var calls []string
	r.kernel.Changed = func(call string) { calls = append(calls, call) }
	r.engine.Update(deriveEBPF(func(c *config.Config, _ *reconcile.Env) {
		forwardBy(config.NAT, c)
		c.Services = slices.DeleteFunc(c.Services, func(s config.Service) bool { return s.Name == "solo" })
	}, result(a, up), result(b, hard), result(c, up)))
	if err := r.engine.Sync(t.Context()); err == nil {
		t.Fatal("rings failed, and the pass has not")
	}
	if len(calls) == 0 || calls[0] != "put server 10.0.0.12:8080 state 3" {
		t.Errorf("calls %q, want the death first", calls)
	}
}

// TestLastDeathWaits keeps the last server of a service up until its row says sorry.
func TestLastDeathWaits(t *testing.T) {
	r := newBalanced(t, func(*config.Config) {})
	r.then(t, result(b, hard))
	r.kernel.Fail = func(call string) error {
		if call == "put row 192.0.2.10:80 mode 1" {
			return errInjected
		}
		return nil
	}
	r.state, _ = state.Apply(r.state, day, result(a, hard))
	r.calls = nil
	r.engine.Update(reconcile.Derive(r.state, machine(config.ForwardingEBPF)))
	if err := r.engine.Sync(t.Context()); err == nil {
		t.Fatal("the row failed, and the pass has not")
	}
	r.expect(t)
	r.kernel.Fail = nil
	r.then(t)
	r.expect(t, "put row 192.0.2.10:80 mode 1", "put forward 192.0.2.10:80 to 2 servers", "put server 10.0.0.11:8080 state 3")
}

// TestBalanceKeeps leaves the servers of a pool as they are until something is known
// of them: over a restart of the daemon, and where a reload brings others.
func TestBalanceKeeps(t *testing.T) {
	r := newBalanced(t, func(*config.Config) {})
	before := contents(r.kernel)
	r.start(t)
	r.state = state.New()
	r.then(t, state.Loaded{Config: oneService(func(*config.Config) {})})
	r.expect(t, "attach to eth0", "attach to eth1") // the driver is asked anew
	r.then(t, result(a, up))                        // of b nothing is known, and it stays
	r.expect(t)
	if got := contents(r.kernel); got != before {
		t.Errorf("the kernel holds\n%s\ninstead of\n%s", got, before)
	}
	r.then(t, state.Loaded{Config: oneService(func(c *config.Config) {
		c.Pools[0].Servers = append(c.Pools[0].Servers, server("d", "10.0.0.14", 8080, 50))
	})})
	r.expect(t, "put forward 192.0.2.10:80 to 2 servers") // which has a place for the new one
	r.then(t, result("10.0.0.14:8080", hard))
	if s := r.kernel.ServerTable[idOf("10.0.0.14:8080")]; s.State != kernel.ServerDown {
		t.Errorf("the new server, which is dead, is %+v", s)
	}
}

func idOf(addr string) kernel.ServerID {
	return reconcile.ServerID(config.Service{Pool: "app", Method: config.NAT},
		config.Server{Address: netip.MustParseAddrPort(addr).Addr(), Port: netip.MustParseAddrPort(addr).Port()})
}

// TestRetiredServer takes a server with flows out of the configuration: it drains,
// its answers find their way back, and it goes when it has none left.
func TestRetiredServer(t *testing.T) {
	r := newBalanced(t, func(*config.Config) {})
	gone := idOf(b)
	r.kernel.InUse[gone] = true
	w := oneService(func(c *config.Config) { c.Pools[0].Servers = c.Pools[0].Servers[:1] })
	r.then(t, state.Loaded{Config: w}, result(a, up))
	r.expect(t, "put forward 192.0.2.10:80 to 1 servers", "put server 10.0.0.12:8080 state 2")
	r.start(t) // the next daemon knows nothing of it
	r.then(t)
	r.expect(t, "attach to eth0", "attach to eth1")
	back := kernel.Key{Addr: gone.Addr, Proto: 6}
	if len(r.kernel.BackTable[back]) != 1 {
		t.Errorf("ways back %v, want one for the flows that are left", r.kernel.BackTable)
	}
	delete(r.kernel.InUse, gone)
	r.then(t)
	r.expect(t, "free server 10.0.0.12:8080", "delete back 10.0.0.12:8080")
	if len(r.repairs) > 0 {
		t.Errorf("repairs %q", r.repairs)
	}
	for _, s := range r.engine.Status() {
		if !s.InSync {
			t.Errorf("%s is not in sync", s.Name)
		}
	}
}

// TestRetiredServerOfARing takes a server that is down out of the configuration, and
// the ring that names it can't be changed.
func TestRetiredServerOfARing(t *testing.T) {
	r := newBalanced(t, func(*config.Config) {})
	r.then(t, result(a, hard), result(b, hard))
	r.start(t) // of this ring the tables know but the digest
	r.state, _ = state.Apply(r.state, day, state.Loaded{Config: oneService(func(c *config.Config) { c.Pools[0].Servers = c.Pools[0].Servers[:1] })})
	r.kernel.Fail = func(call string) error {
		if strings.HasPrefix(call, "put forward") {
			return errInjected
		}
		if strings.HasPrefix(call, "free server") {
			t.Error("a server was freed that a ring may name")
		}
		return nil
	}
	r.engine.Update(reconcile.Derive(r.state, machine(config.ForwardingEBPF)))
	if err := r.engine.Sync(t.Context()); err == nil {
		t.Error("the fault was not noticed")
	}
}

// TestEngineIsLeft changes the engine: nothing of the one before is left.
func TestEngineIsLeft(t *testing.T) {
	for _, to := range []config.Forwarding{config.ForwardingIPVS, config.ForwardingNone} {
		t.Run(string(to), func(t *testing.T) {
			r := newBalanced(t, func(*config.Config) {})
			r.start(t)
			s, _ := state.Apply(state.New(), day, state.Loaded{Config: oneService(func(*config.Config) {})}, result(a, up), result(b, up))
			r.reach(t, reconcile.Derive(s, machine(to)))
			other := newRig(t)
			other.reach(t, reconcile.Derive(s, machine(to)))
			if got, want := contents(r.kernel), contents(other.kernel); got != want {
				t.Errorf("the kernel holds\n%s\ninstead of\n%s", got, want)
			}
		})
	}
}

// TestEngineIsLeftWhenTheOtherIsReady starts with IPVS where eBPF has forwarded so
// far: until the services are decided it goes on to.
func TestEngineIsLeftWhenTheOtherIsReady(t *testing.T) {
	r := newBalanced(t, func(*config.Config) {})
	before := r.shares()
	r.start(t)
	r.calls = nil
	pending, _ := state.Apply(state.New(), day, state.Loaded{Config: oneService(func(*config.Config) {})})
	r.reach(t, reconcile.Derive(pending, machine(config.ForwardingIPVS)))
	if got := r.shares(); got != before {
		t.Errorf("while pending eBPF has\n%s\ninstead of\n%s", got, before)
	}
	s, _ := state.Apply(pending, day, result(a, up), result(b, up))
	r.reach(t, reconcile.Derive(s, machine(config.ForwardingIPVS)))
	put, taken := -1, -1
	for i, call := range r.calls {
		switch {
		case strings.HasPrefix(call, "put destination"):
			put = i
		case strings.HasPrefix(call, "delete forward"):
			taken = i
		}
	}
	if put < 0 || taken < put {
		t.Errorf("eBPF was left before IPVS was ready: %q", r.calls)
	}
}

// shares tells what flows are forwarded by.
func (r *balanced) shares() string {
	return fmt.Sprint(r.kernel.ShareTable, r.kernel.ServerTable, r.kernel.BackTable)
}

// TestLedgerOfEBPF asks a ledger whether anything of IPVS is ours.
func TestLedgerOfEBPF(t *testing.T) {
	for engine, want := range map[config.Forwarding]bool{config.ForwardingEBPF: false, config.ForwardingIPVS: true} {
		r := newRig(t)
		s, _ := state.Apply(state.New(), day, state.Loaded{Config: oneService(viaShop)}, result(a, up), result(b, up))
		r.reach(t, reconcile.Derive(s, machine(engine)))
		ledger, err := reconcile.OpenLedger(r.ledger)
		if err != nil || ledger.Forwards() != want {
			t.Errorf("with %s: %t, want %t, %v", engine, ledger.Forwards(), want, err)
		}
	}
}

// TestModuleIsGone forwards by eBPF where IPVS has gone, and its knobs with it.
func TestModuleIsGone(t *testing.T) {
	r := newRig(t)
	r.reach(t, story()[1].want)
	clear(r.kernel.IPVS)
	for _, name := range []string{"expire_nodest_conn", "conn_reuse_mode"} {
		delete(r.kernel.KnobTable, name)
	}
	r.start(t)
	r.reach(t, storyOf(config.ForwardingEBPF, config.NAT)[1].want)
	for name := range r.kernel.KnobTable {
		if strings.Contains(name, "conn") {
			t.Errorf("knob %s was made", name)
		}
	}
}

// TestBalanceDrift lets somebody else change the tables of the eBPF engine.
func TestBalanceDrift(t *testing.T) {
	shop, first := kernel.Key{Addr: tcp("192.0.2.10:80").Addr, Proto: 6}, idOf(a)
	back := kernel.Key{Addr: first.Addr, Proto: 6}
	tests := []struct {
		name   string
		tamper func(k *fake.Kernel)
		want   string // the first repair; empty: none is told
	}{
		{"server taken down", func(k *fake.Kernel) { s := k.ServerTable[first]; s.State = kernel.ServerDown; k.ServerTable[first] = s },
			"ebpf: put server app/a, 10.0.0.11:8080 by nat, up"},
		{"server deleted", func(k *fake.Kernel) { delete(k.ServerTable, first) }, "ebpf: put server app/a, 10.0.0.11:8080 by nat, up"},
		{"forwarding deleted", func(k *fake.Kernel) { delete(k.ShareTable, shop) },
			"ebpf: have a place for 192.0.2.10:80/tcp in the tables of eBPF"},
		{"another ring", func(k *fake.Kernel) { f := k.ShareTable[shop]; f.Ring.Digest++; k.ShareTable[shop] = f },
			"ebpf: forward 192.0.2.10:80/tcp by eBPF, in turn to 2 of 2 servers"},
		{"another fate", func(k *fake.Kernel) { f := k.ShareTable[shop]; f.Down = kernel.DownKeep; k.ShareTable[shop] = f },
			"ebpf: forward 192.0.2.10:80/tcp by eBPF, in turn to 2 of 2 servers"},
		{"way back deleted", func(k *fake.Kernel) { delete(k.BackTable, back) }, "ebpf: lead back from 10.0.0.11:8080/tcp to 192.0.2.10:80/tcp"},
		{"way back added", func(k *fake.Kernel) {
			k.BackTable[kernel.Key{Addr: netip.MustParseAddrPort("10.9.9.9:80"), Proto: 6}] = []kernel.Key{shop}
		}, "ebpf: lead back from 10.9.9.9:80/tcp to 192.0.2.10:80/tcp no more"},
		{"timeouts changed", func(k *fake.Kernel) { k.Setting.TCP = 1 }, "ebpf: set up forwarding by eBPF"},
		{"interface forgotten", func(k *fake.Kernel) { delete(k.DeviceTable, 2) }, "ebpf: note of interface 2 that XDP reaches it: true"},
		{"interface added", func(k *fake.Kernel) { k.DeviceTable[9] = true }, "ebpf: forget interface 9"},
		{"mark added", func(k *fake.Kernel) { k.MarkTable[7] = first }, "ebpf: delete mark 0x7"},
		{"checks hooked in", func(k *fake.Kernel) { k.Probed = true }, "ebpf: detach from lo"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newBalanced(t, func(*config.Config) {})
			before := contents(r.kernel)
			test.tamper(r.kernel)
			r.then(t)
			if got := contents(r.kernel); got != before {
				t.Errorf("the kernel ends with\n%s\ninstead of\n%s", got, before)
			}
			if len(r.repairs) == 0 || !strings.HasPrefix(r.repairs[0], test.want) {
				t.Errorf("repairs %q, want %q", r.repairs, test.want)
			}
		})
	}
}

// TestChangesAreNoDrift walks through all stories: nothing that is decided is told
// as the repair of something.
func TestChangesAreNoDrift(t *testing.T) {
	for name, scenes := range stories() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for _, s := range scenes {
				r.reach(t, s.want)
				before := contents(r.kernel)
				r.reach(t, s.want)
				if got := contents(r.kernel); got != before {
					t.Errorf("%s: a second pass changes\n%s\nto\n%s", s.name, before, got)
				}
			}
			if len(r.repairs) > 0 {
				t.Errorf("repairs %q", r.repairs)
			}
		})
	}
}
