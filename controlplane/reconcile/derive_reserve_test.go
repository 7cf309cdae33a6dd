// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// inReserve gives the services of both families with a page another pool, which a
// check asks, and solo this machine.
func inReserve(c *config.Config) {
	c.Checks = append(c.Checks, config.Check{Name: "spare", Type: "tcp", Timing: checkers.Timing{Interval: 5 * time.Second, Fall: 3, Rise: 2}})
	c.Pools = append(c.Pools,
		config.Pool{Name: "spare", Checks: []string{"spare"}, Servers: []config.Server{server("x", "10.0.0.21", 8080, 10)}},
		config.Pool{Name: "sorry:solo", Servers: []config.Server{{Name: "local", Weight: 1, Local: true}}},
	)
	for i := range c.Services {
		switch c.Services[i].Name {
		case "shop":
			c.Services[i].Sorry.Pool = "spare"
		case "solo":
			c.Services[i].Sorry.Pool, c.Services[i].Sorry.TLS.Key = "sorry:solo", "key"
		}
	}
}

// spare is a result of the check of the pool in reserve.
func spare(class checkers.Class) state.Event {
	p := result("10.0.0.21:8080", class).(state.Probed)
	p.Transition.Key.Check = "spare"
	return p
}

func TestReserveDestinations(t *testing.T) {
	shop, solo := tcp("192.0.2.10:80"), tcp("192.0.2.13:80")
	all := func(class checkers.Class) []state.Event { return []state.Event{result(a, class), result(b, class)} }
	keep := func(c *config.Config) {
		for i := range c.Services {
			c.Services[i].OnDown = config.OnDownKeep
		}
	}
	for name, test := range map[string]struct {
		edit    func(*config.Config)
		events  []state.Event
		virtual config.Virtual
		want    string
	}{
		"its own serve":             {nil, append(all(up), spare(up)), shop, "10.0.0.11:8080 nat 100, 10.0.0.12:8080 nat 50"},
		"its own serve, none there": {nil, append(all(up), spare(hard)), shop, "10.0.0.11:8080 nat 100, 10.0.0.12:8080 nat 50, 10.0.0.21:8080 dead"},
		"in an outage":              {nil, append(all(hard), spare(up)), shop, "10.0.0.11:8080 dead, 10.0.0.12:8080 dead, 10.0.0.21:8080 nat 10"},
		"in one of drains":          {nil, append(all(soft), spare(up)), shop, "10.0.0.21:8080 nat 10"},
		"connections kept":          {keep, append(all(hard), spare(up)), shop, "10.0.0.21:8080 nat 10"},
		"nobody":                    {nil, append(all(hard), spare(hard)), shop, "10.0.0.11:8080 dead, 10.0.0.12:8080 dead, 10.0.0.21:8080 dead"},
		"not known yet in reserve":  {nil, all(hard), shop, ""}, // left as it is
		"below the quorum":          {func(c *config.Config) { c.Services[3].Quorum.Min = 2 }, []state.Event{result(a, up), result(b, hard)}, solo, "10.0.0.12:8080 dead, 192.0.2.13:80 local 1"},
		"this machine":              {nil, all(hard), solo, "10.0.0.11:8080 dead, 10.0.0.12:8080 dead, 192.0.2.13:80 local 1"},
		"this machine in reserve":   {nil, all(up), solo, "10.0.0.11:8080 nat 100, 10.0.0.12:8080 nat 50"},
	} {
		t.Run(name, func(t *testing.T) {
			w := derive(func(c *config.Config) {
				inReserve(c)
				if test.edit != nil {
					test.edit(c)
				}
			}, true, test.events...)
			if got := destinations(w.Virtuals[test.virtual]); got != test.want {
				t.Errorf("destinations %q, want %q", got, test.want)
			}
		})
	}
}

func TestReserveShares(t *testing.T) {
	all := func(class checkers.Class) []state.Event { return []state.Event{result(a, class), result(b, class)} }
	const both, one = "10.0.0.11:8080 100, 10.0.0.12:8080 50", "10.0.0.21:8080 10"
	for name, test := range map[string]struct {
		events     []state.Event
		virtual    string
		want, idle string
	}{
		"its own serve":    {append(all(up), spare(up)), "192.0.2.10:80", both, "10.0.0.21:8080"},
		"in an outage":     {append(all(hard), spare(up)), "192.0.2.10:80", one, "10.0.0.11:8080, 10.0.0.12:8080"},
		"nobody":           {append(all(hard), spare(hard)), "192.0.2.10:80", both, "10.0.0.21:8080"},
		"this machine":     {all(hard), "192.0.2.13:80", "192.0.2.13:0 1", "10.0.0.11:8080, 10.0.0.12:8080"},
		"without a server": {all(hard), "192.0.2.11:25", both, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := deriveEBPF(func(c *config.Config, _ *reconcile.Env) { inReserve(c) }, test.events...)
			share := w.Shares[tcp(test.virtual)]
			var members, idle []string
			for _, m := range share.Members {
				members = append(members, fmt.Sprintf("%s %d", m.Server.Addr, m.Weight))
			}
			for _, id := range share.Idle {
				idle = append(idle, id.Addr.String())
			}
			if got := strings.Join(members, ", "); got != test.want {
				t.Errorf("members %q, want %q", got, test.want)
			}
			if got := strings.Join(idle, ", "); got != test.idle {
				t.Errorf("idle %q, want %q", got, test.idle)
			}
			for _, id := range slices.Concat(share.Idle, []maps.ServerID{share.Members[0].Server}) {
				if _, there := w.Servers[id]; !there {
					t.Errorf("server %s is not wanted", id.Addr)
				}
			}
		})
	}
	w := deriveEBPF(func(c *config.Config, _ *reconcile.Env) { inReserve(c) }, all(up)...)
	if backs := w.Backs[maps.Key{Addr: netip.MustParseAddrPort("10.0.0.21:8080"), Proto: 6}]; len(backs) != 2 { // of shop's two ports
		t.Errorf("ways back %+v", backs)
	}
	for _, notice := range w.Notices {
		t.Errorf("notice %s", notice)
	}
}

// Where others put addresses on interfaces, this machine may not have that of a
// service.
func TestReserveNotices(t *testing.T) {
	for name, test := range map[string]struct {
		there bool
		want  string
	}{
		"it has it":  {true, ""},
		"it has not": {false, "192.0.2.13 is no address of this machine, and the sorry server here gets nothing that is sent to it: put it on an interface, or set director.addresses: manage"},
	} {
		w := deriveEBPF(func(c *config.Config, env *reconcile.Env) {
			inReserve(c)
			c.Director.Addresses = config.AddressesExternal
			path := reconcile.Path{Interface: "eth1", Index: 3}
			if test.there {
				env.Links["lo"] = reconcile.Link{Index: 1, Loopback: true}
				path = reconcile.Path{Interface: "lo", Index: 1}
			}
			env.Paths[netip.MustParseAddr("192.0.2.13")] = path
		})
		if got := strings.Join(w.Notices, "; "); got != test.want {
			t.Errorf("%s: notices %q, want %q", name, got, test.want)
		}
	}
}

// A service whose servers die goes over to the pool in reserve, and back, and on
// the way nobody is sent to a server that is not up.
func TestReserveAndBack(t *testing.T) {
	for _, engine := range []config.Forwarding{config.ForwardingIPVS, config.ForwardingEBPF} {
		t.Run(string(engine), func(t *testing.T) {
			cfg := baseConfig()
			forwardBy(config.NAT, cfg)
			inReserve(cfg)
			r := newRig(t)
			s, _ := state.Apply(state.New(), day, state.Loaded{Config: cfg}, result(a, up), result(b, up), result(c, up), spare(up))
			r.reach(t, reconcile.Derive(s, machine(engine)))
			normal := contents(r.kernel)
			s, _ = state.Apply(s, day.Add(time.Minute), result(a, hard), result(b, hard))
			r.reach(t, reconcile.Derive(s, machine(engine)))
			if s.Services["shop"].Mode != state.ModeBackup || contents(r.kernel) == normal {
				t.Fatalf("%v: the kernel has\n%s", s.Services["shop"].Mode, contents(r.kernel))
			}
			s, _ = state.Apply(s, day.Add(2*time.Minute), result(a, up), result(b, up))
			r.reach(t, reconcile.Derive(s, machine(engine)))
			if got := contents(r.kernel); got != normal {
				t.Errorf("it is not as it was:\n%s\nand was\n%s", got, normal)
			}
		})
	}
}
