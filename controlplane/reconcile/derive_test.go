// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// derive applies events to baseConfig, changed by edit.
func derive(edit func(*config.Config), ipvs bool, events ...state.Event) reconcile.Want {
	cfg := baseConfig()
	edit(cfg)
	s, _ := state.Apply(state.New(), day, state.Loaded{Config: cfg})
	for _, e := range events {
		s, _ = state.Apply(s, day.Add(time.Second), e)
	}
	env := reconcile.Env{Forwarding: config.ForwardingNone}
	if ipvs {
		env.Forwarding = config.ForwardingIPVS
	}
	return reconcile.Derive(s, env)
}

func destinations(f reconcile.Forward) string {
	var out []string
	for server, d := range f.Destinations {
		text := fmt.Sprintf("%s %s %d", server, d.Method, d.Weight)
		if d.Local {
			text = fmt.Sprintf("%s local %d", server, d.Weight)
		}
		if d.Keep {
			text = server.String() + " keep"
		}
		if d.Dead {
			text = server.String() + " dead"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestDeriveDestinations(t *testing.T) {
	anyPort := func(c *config.Config) { c.Pools[0].Servers[0].Port = 0; c.Checks[0].Port = 8080 }
	method := func(m config.Method) func(*config.Config) {
		return func(c *config.Config) {
			for i := range c.Services {
				c.Services[i].Method = m
			}
		}
	}
	tests := []struct {
		name    string
		edit    func(*config.Config)
		events  []state.Event
		virtual config.Virtual
		want    string
	}{
		{"up", nil, []state.Event{result(a, up), result(b, up)}, tcp("192.0.2.10:80"), "10.0.0.11:8080 nat 100, 10.0.0.12:8080 nat 50"},
		{"drain", nil, []state.Event{result(a, up), result(b, soft)}, tcp("192.0.2.10:80"), "10.0.0.11:8080 nat 100, 10.0.0.12:8080 nat 0"},
		{"down", nil, []state.Event{result(a, up), result(b, hard)}, tcp("192.0.2.10:80"), "10.0.0.11:8080 nat 100, 10.0.0.12:8080 dead"},
		{"unknown", nil, []state.Event{result(a, up)}, tcp("192.0.2.10:80"), "10.0.0.11:8080 nat 100, 10.0.0.12:8080 keep"},
		{"other family", nil, []state.Event{result(a, up), result(c, up)}, tcp("[2001:db8::10]:80"), "[fd00::13]:8080 nat 50"},
		{"by tunnel", method(config.TUN), []state.Event{result(a, up), result(b, hard), result(c, up)}, tcp("192.0.2.10:80"), "10.0.0.11:8080 tun 100, 10.0.0.12:8080 dead"},
		{"direct routing", method(config.DR), []state.Event{result(a, up), result(b, hard)}, tcp("192.0.2.10:80"), "10.0.0.11:8080 dr 100, 10.0.0.12:8080 dead"},
		{"the client's port", anyPort, []state.Event{result(a, up), result(b, hard)}, tcp("192.0.2.10:443"), "10.0.0.11:443 nat 100, 10.0.0.12:8080 dead"},
		{"over UDP", nil, []state.Event{result(a, up), result(b, hard)}, udp("192.0.2.12:53"), "10.0.0.11:8080 nat 100, 10.0.0.12:8080 dead"},
		{"sorry with a page", func(c *config.Config) { c.Services[0].Quorum.Min = 3 }, []state.Event{result(a, up), result(b, soft)},
			tcp("192.0.2.10:80"), "10.0.0.11:8080 nat 100, 10.0.0.12:8080 nat 0"},
		{"sorry without a page takes nobody", func(c *config.Config) { c.Services[1].Quorum.Min = 3 },
			[]state.Event{result(a, up), result(b, soft)}, tcp("192.0.2.11:25"), "10.0.0.11:8080 nat 0, 10.0.0.12:8080 nat 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			edit := test.edit
			if edit == nil {
				edit = func(*config.Config) {}
			}
			w := derive(edit, true, test.events...)
			if got := destinations(w.Virtuals[test.virtual]); got != test.want {
				t.Errorf("destinations %q, want %q", got, test.want)
			}
		})
	}
}

func TestDeriveRows(t *testing.T) {
	reserve := func(c *config.Config) {
		c.Pools = append(c.Pools, config.Pool{Name: "spare", Servers: []config.Server{
			{Name: "four", Address: netip.MustParseAddr("10.0.0.99"), Weight: 1}, {Name: "six", Address: netip.MustParseAddr("fd00::99"), Weight: 1}}})
		for i := range c.Services {
			c.Services[i].Sorry.Pool = "spare"
		}
	}
	all := func(class ...state.Event) []state.Event { return class }
	tests := []struct {
		name   string
		edit   func(*config.Config)
		events []state.Event
		want   maps.Service
	}{
		{"serve", nil, all(result(a, up)), maps.Service{Mode: maps.ModeServe, Orphans: maps.OrphansPass, Page: 1}},
		{"sorry", nil, all(result(a, hard), result(b, hard), result(c, hard)), maps.Service{Mode: maps.ModeSorry, Orphans: maps.OrphansReset, Page: 1}},
		{"sorry, one drains", nil, all(result(a, soft), result(b, hard), result(c, hard)),
			maps.Service{Mode: maps.ModeSorry, Orphans: maps.OrphansPass, Page: 1}},
		{"linger", nil, all(result(a, hard), result(b, hard), result(c, hard), result(a, up)),
			maps.Service{Mode: maps.ModeLinger, Orphans: maps.OrphansPass, Page: 1}},
		{"orphans dropped", func(c *config.Config) { c.Services[0].Sorry.Orphans = config.OrphansDrop }, all(result(a, up)),
			maps.Service{Mode: maps.ModeServe, Orphans: maps.OrphansDrop, Page: 1}},
		{"shed", nil, all(result(a, up), state.Overridden{Service: "shop", Override: state.Override{Mode: state.OverrideShed, Shed: 0.25, Page: "busy"}}),
			maps.Service{Mode: maps.ModeShed, Orphans: maps.OrphansPass, Page: 2, Shed: 1 << 30}},
		{"shed all", nil, all(result(a, up), state.Overridden{Service: "shop", Override: state.Override{Mode: state.OverrideShed, Shed: 1, Page: "busy"}}),
			maps.Service{Mode: maps.ModeShed, Orphans: maps.OrphansPass, Page: 2, Shed: math.MaxUint32}},
		{"said on", nil, all(result(a, up), state.Overridden{Service: "shop", Override: state.Override{Mode: state.OverrideOn, Page: "busy"}}),
			maps.Service{Mode: maps.ModeSorry, Orphans: maps.OrphansPass, Page: 2}},
		{"in reserve", reserve, all(result(a, hard), result(b, hard), result(c, hard)), maps.Service{Orphans: maps.OrphansPass, Page: 1}},
		{"in reserve after the page", reserve, all(result(a, hard), result(b, hard), result(c, hard),
			state.Overridden{Service: "shop", Override: state.Override{Mode: state.OverrideOn}}, state.Overridden{Service: "shop"}),
			maps.Service{Mode: maps.ModeLinger, Orphans: maps.OrphansPass, Page: 1}},
		{"no page", func(c *config.Config) { c.Services[0].Sorry.Page = "" }, all(result(a, hard), result(b, hard), result(c, hard)),
			maps.Service{Mode: maps.ModeSorry, Orphans: maps.OrphansReset}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			edit := test.edit
			if edit == nil {
				edit = func(*config.Config) {}
			}
			w := derive(func(c *config.Config) {
				busy := closed(2)
				busy.Name = "busy"
				c.Pages = append(c.Pages, busy)
				edit(c)
			}, true, test.events...)
			for _, addr := range []string{"192.0.2.10:80", "192.0.2.10:443"} {
				if got := w.Rows[tcp(addr)]; got != test.want {
					t.Errorf("row %s is %+v, want %+v", addr, got, test.want)
				}
			}
			if got := w.Rows[udp("192.0.2.12:53")]; got.Page != 0 || got.Mode == maps.ModeLinger {
				t.Errorf("the row of a UDP service is %+v", got)
			}
		})
	}
}

func TestDeriveMachine(t *testing.T) {
	none := func(*config.Config) {}
	external := func(c *config.Config) { c.Director.Addresses = config.AddressesExternal }
	second := func(c *config.Config) { c.Director.Interfaces = []string{"eth1", "eth0"} }
	bare := func(c *config.Config) { c.Director.Interfaces = nil }
	tests := []struct {
		name                          string
		edit                          func(*config.Config)
		ipvs                          bool
		virtuals, addresses, settings int
		interfaces                    []string
	}{
		{"ipvs", none, true, 7, 5, 2, []string{"eth0"}},
		{"nobody", none, false, 0, 5, 0, []string{"eth0"}},
		{"addresses of somebody else", external, true, 7, 0, 2, []string{"eth0"}},
		{"two interfaces", second, true, 7, 5, 2, []string{"eth0", "eth1"}},
		{"no interfaces", bare, true, 7, 0, 2, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := derive(test.edit, test.ipvs, result(a, up), result(b, up), result(c, up))
			if len(w.Virtuals) != test.virtuals || len(w.Addresses) != test.addresses || len(w.Settings) != test.settings {
				t.Errorf("%d virtuals, %d addresses, %d settings", len(w.Virtuals), len(w.Addresses), len(w.Settings))
			}
			var got []string
			for name := range w.Attachments {
				got = append(got, name)
			}
			slices.Sort(got)
			if !slices.Equal(got, test.interfaces) {
				t.Errorf("attached to %v, want %v", got, test.interfaces)
			}
			if test.name == "two interfaces" && !w.Addresses[reconcile.Address{Interface: "eth1", Addr: netip.MustParseAddr("192.0.2.10")}] {
				t.Errorf("addresses %v, want them on the first interface", w.Addresses)
			}
		})
	}
}

func TestDerivePending(t *testing.T) {
	w := derive(func(*config.Config) {}, true)
	if len(w.Leave) != 7 || len(w.Rows)+len(w.Virtuals)+len(w.Addresses) != 0 {
		t.Errorf("leave %d, rows %d, virtuals %d, addresses %d", len(w.Leave), len(w.Rows), len(w.Virtuals), len(w.Addresses))
	}
	if len(w.Pages) != 1 || len(w.Attachments) != 1 {
		t.Errorf("pages %d, attachments %d: what is certain need not wait", len(w.Pages), len(w.Attachments))
	}
}
