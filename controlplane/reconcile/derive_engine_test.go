// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	kernel "github.com/maitred-lb/maitred/maps"
)

// deriveEBPF applies events to baseConfig, changed by edit, on machine.
func deriveEBPF(edit func(*config.Config, *reconcile.Env), events ...state.Event) reconcile.Want {
	cfg, env := baseConfig(), machine(config.ForwardingEBPF)
	edit(cfg, &env)
	s, _ := state.Apply(state.New(), day, state.Loaded{Config: cfg})
	for _, e := range events {
		s, _ = state.Apply(s, day.Add(time.Second), e)
	}
	return reconcile.Derive(s, env)
}

// serverLines lists the servers of IPv4.
func serverLines(w reconcile.Want) string {
	var out []string
	for id, s := range w.Servers {
		if id.Addr.Addr().Is4() {
			out = append(out, fmt.Sprintf("%s method %d tunnel %d:%d state %d keep %t", id.Addr, id.Method, id.Tunnel, id.TunnelPort, s.State, s.Keep))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestDeriveServers(t *testing.T) {
	edit := func(f func(*config.Config)) func(*config.Config, *reconcile.Env) {
		return func(c *config.Config, _ *reconcile.Env) { f(c) }
	}
	tests := []struct {
		name   string
		edit   func(*config.Config, *reconcile.Env)
		events []state.Event
		want   string
	}{
		{"up and drain", edit(func(*config.Config) {}), []state.Event{result(a, up), result(b, soft)},
			"10.0.0.11:8080 method 2 tunnel 0:0 state 1 keep false, 10.0.0.12:8080 method 2 tunnel 0:0 state 2 keep false"},
		{"down", edit(func(*config.Config) {}), []state.Event{result(a, up), result(b, hard)},
			"10.0.0.11:8080 method 2 tunnel 0:0 state 1 keep false, 10.0.0.12:8080 method 2 tunnel 0:0 state 3 keep false"},
		{"unknown", edit(func(*config.Config) {}), []state.Event{result(a, up)},
			"10.0.0.11:8080 method 2 tunnel 0:0 state 1 keep false, 10.0.0.12:8080 method 2 tunnel 0:0 state 0 keep true"},
		{"by GUE", edit(func(c *config.Config) {
			forwardBy(config.TUN, c)
			for i := range c.Services {
				c.Services[i].Tunnel = config.Tunnel{Kind: config.TunnelGUE, Port: 6080}
			}
		}), []state.Event{result(a, up), result(b, up)},
			"10.0.0.11:8080 method 1 tunnel 1:6080 state 1 keep false, 10.0.0.12:8080 method 1 tunnel 1:6080 state 1 keep false"},
		{"the client's port", edit(func(c *config.Config) { c.Pools[0].Servers[0].Port, c.Checks[0].Port = 0, 8080 }),
			[]state.Event{result(a, up), result(b, up)},
			"10.0.0.11:0 method 2 tunnel 0:0 state 1 keep false, 10.0.0.12:8080 method 2 tunnel 0:0 state 1 keep false"},
		{"asked by a check on the way of the data", edit(viaShop), []state.Event{result(a, up), result(b, up), state.Tick{}},
			"10.0.0.11:8080 method 2 tunnel 0:0 state 2 keep true, 10.0.0.12:8080 method 2 tunnel 0:0 state 2 keep true"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := deriveEBPF(test.edit, test.events...)
			if test.events[len(test.events)-1] == (state.Tick{}) { // nothing was heard: time decides
				cfg, env := baseConfig(), machine(config.ForwardingEBPF)
				test.edit(cfg, &env)
				s, _ := state.Apply(state.New(), day, state.Loaded{Config: cfg})
				s, _ = state.Apply(s, day.Add(time.Hour), state.Tick{})
				w = reconcile.Derive(s, env)
			}
			if got := serverLines(w); got != test.want {
				t.Errorf("servers\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// viaShop has the check ask by the address of shop.
func viaShop(c *config.Config) {
	c.Checks[0].Via, c.Checks[0].Service = config.ViaDataplane, "shop"
}

func TestDeriveServerRow(t *testing.T) {
	w := deriveEBPF(func(c *config.Config, _ *reconcile.Env) {
		forwardBy(config.TUN, c)
		c.Pools[0].Servers[0].MTU = 1400
	}, result(a, up), result(b, up))
	gw, src := netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.1")
	want := kernel.Server{State: kernel.ServerUp, Source: src, Gateway: gw, Interface: 3, MTU: 1400}
	for id, s := range w.Servers {
		if id.Addr.Addr() == gw && s.Server != want {
			t.Errorf("row %+v, want %+v", s.Server, want)
		}
	}
}

func TestDeriveShares(t *testing.T) {
	tests := []struct {
		name    string
		edit    func(*config.Service)
		events  []state.Event
		virtual config.Virtual
		want    string
	}{
		{"wrr is the default", func(s *config.Service) { s.Scheduler = "" }, nil, tcp("192.0.2.10:80"), "spread 0 down 0 mute false weights [100 50]"},
		{"rr", func(s *config.Service) { s.Scheduler = "rr" }, nil, tcp("192.0.2.10:80"), "spread 0 down 0 mute false weights [1 1]"},
		{"mh", func(s *config.Service) { s.Scheduler = "mh" }, nil, tcp("192.0.2.10:80"), "spread 1 down 0 mute false weights [100 50]"},
		{"sh by port, picked again", func(s *config.Service) {
			s.Scheduler, s.Hash, s.OnDown = "sh", config.HashPort, config.OnDownRepick
		}, nil, tcp("192.0.2.10:443"), "spread 2 down 1 mute false weights [100 50]"},
		{"over UDP, kept", func(s *config.Service) { s.Protocol, s.OnDown = config.UDP, config.OnDownKeep }, nil,
			udp("192.0.2.10:80"), "spread 0 down 2 mute false weights [100 50]"},
		{"sorry with a page", func(s *config.Service) { s.Quorum.Min = 3 }, nil, tcp("192.0.2.10:80"), "spread 0 down 0 mute false weights [100 50]"},
		{"sorry without a page", func(s *config.Service) { s.Quorum.Min, s.Sorry.Page = 3, "" }, nil,
			tcp("192.0.2.10:80"), "spread 0 down 0 mute true weights [100 50]"},
		{"other family", func(*config.Service) {}, nil, tcp("[2001:db8::10]:80"), "spread 0 down 0 mute false weights [50]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := deriveEBPF(func(c *config.Config, _ *reconcile.Env) {
				for i := range c.Services {
					c.Services[i].Scheduler = "wrr"
				}
				test.edit(&c.Services[0])
			}, result(a, up), result(b, up), result(c, up))
			share := w.Shares[test.virtual]
			var weights []int
			for _, m := range share.Members {
				weights = append(weights, m.Weight)
			}
			got := fmt.Sprintf("spread %d down %d mute %t weights %v", share.Spread, share.Down, share.Mute, weights)
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestDeriveBacks(t *testing.T) {
	tests := []struct {
		name   string
		method config.Method
		want   []string
	}{
		{"nat", config.NAT, []string{"10.0.0.11:8080/17 1", "10.0.0.11:8080/6 4", "10.0.0.12:8080/17 1", "10.0.0.12:8080/6 4", "[fd00::13]:8080/6 2"}},
		{"fullnat", config.FULLNAT, []string{"10.0.0.11:8080/17 1", "10.0.0.11:8080/6 4", "10.0.0.12:8080/17 1", "10.0.0.12:8080/6 4", "[fd00::13]:8080/6 2"}},
		{"tun", config.TUN, []string{"10.0.0.11:0/4 5", "10.0.0.12:0/4 5", "[fd00::13]:0/4 2"}},
		{"dr", config.DR, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := deriveEBPF(func(c *config.Config, _ *reconcile.Env) { forwardBy(test.method, c) }, result(a, up), result(b, up), result(c, up))
			var got []string
			for key, backs := range w.Backs {
				got = append(got, fmt.Sprintf("%s/%d %d", key.Addr, key.Proto, len(backs)))
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("backs %q, want %q", got, test.want)
			}
		})
	}
}

func TestDeriveEngine(t *testing.T) {
	tests := []struct {
		name       string
		edit       func(*config.Config, *reconcile.Env)
		interfaces map[string]config.Attach
		devices    map[int]bool
		notices    []string
	}{
		{"nat sees answers", func(*config.Config, *reconcile.Env) {},
			map[string]config.Attach{"eth0": config.AttachAuto, "eth1": config.AttachAuto}, map[int]bool{2: true, 3: false}, nil},
		{"dr does not", func(c *config.Config, _ *reconcile.Env) { forwardBy(config.DR, c) },
			map[string]config.Attach{"eth0": config.AttachAuto}, map[int]bool{2: true, 3: false}, nil},
		{"but its checks do", func(c *config.Config, _ *reconcile.Env) { forwardBy(config.DR, c); viaShop(c) },
			map[string]config.Attach{"eth0": config.AttachAuto, "eth1": config.AttachAuto}, map[int]bool{2: true, 3: false}, nil},
		{"tc alone", func(c *config.Config, _ *reconcile.Env) { c.Director.Attach = config.AttachTC },
			map[string]config.Attach{"eth0": config.AttachTC, "eth1": config.AttachTC}, map[int]bool{2: true, 3: false}, nil},
		{"XDP was asked for where clients are", func(c *config.Config, e *reconcile.Env) {
			c.Director.Attach = config.AttachXDP
			e.Links["eth1"] = reconcile.Link{Index: 3, Ethernet: true}
		}, map[string]config.Attach{"eth0": config.AttachXDP, "eth1": config.AttachAuto}, map[int]bool{2: true, 3: true}, nil},
		{"nobody vouches for XDP", func(_ *config.Config, e *reconcile.Env) { e.Links["eth1"] = reconcile.Link{Index: 3, Ethernet: true} },
			map[string]config.Attach{"eth0": config.AttachAuto, "eth1": config.AttachAuto}, map[int]bool{2: true, 3: false}, nil},
		{"no Ethernet", func(c *config.Config, e *reconcile.Env) {
			c.Services = c.Services[:1]
			e.Links["eth1"] = reconcile.Link{Index: 3, Transmits: reconcile.No}
		}, map[string]config.Attach{"eth0": config.AttachAuto}, map[int]bool{2: true, 3: false}, []string{
			"eth1, the way to the server 10.0.0.11 of pool app, is not Ethernet: eBPF can't see its answers",
			"eth1, the way to the server 10.0.0.12 of pool app, is not Ethernet: eBPF can't see its answers",
		}},
		{"no route", func(c *config.Config, e *reconcile.Env) {
			c.Services = c.Services[:1]
			delete(e.Paths, netip.MustParseAddr("10.0.0.12"))
		}, map[string]config.Attach{"eth0": config.AttachAuto, "eth1": config.AttachAuto}, map[int]bool{2: true, 3: false},
			[]string{"no route leads to the server 10.0.0.12 of pool app"}},
		{"the server is this machine", func(c *config.Config, e *reconcile.Env) {
			c.Services = c.Services[:1]
			c.Pools[0].Servers = c.Pools[0].Servers[:1]
			e.Links["eth1"] = reconcile.Link{Index: 1, Loopback: true}
		}, map[string]config.Attach{"eth0": config.AttachAuto}, map[int]bool{1: false, 2: true},
			[]string{"the server 10.0.0.11 of pool app is this machine itself: eBPF can't see its answers"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := deriveEBPF(test.edit, result(a, up))
			if !maps.Equal(w.Attachments, test.interfaces) {
				t.Errorf("attached to %v, want %v", w.Attachments, test.interfaces)
			}
			if !maps.Equal(w.Devices, test.devices) {
				t.Errorf("devices %v, want %v", w.Devices, test.devices)
			}
			if !slices.Equal(w.Notices, test.notices) {
				t.Errorf("notices %q, want %q", w.Notices, test.notices)
			}
		})
	}
}

func TestDeriveSetting(t *testing.T) {
	w := deriveEBPF(func(c *config.Config, _ *reconcile.Env) {
		forwardBy(config.NAT, c)
		viaShop(c)
		c.Director.FullNAT.Sources = []netip.Addr{netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.2")}
		c.Director.Connections.UDP = 1500 * time.Millisecond
	})
	want := fmt.Sprintf("%+v", kernel.Setting{
		Sources:   []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")},
		PortFirst: 1024, PortLast: 32767, TCP: 15 * time.Minute, FIN: 2 * time.Minute, UDP: time.Second, Probes: true,
	})
	if got := fmt.Sprintf("%+v", *w.Setting); got != want {
		t.Errorf("setting %s, want %s", got, want)
	}
	if w.Settings["net/ipv4/conf/lo/accept_local"] != "1" || len(w.Settings) != 1 {
		t.Errorf("knobs %v", w.Settings)
	}
	if len(w.Marks) != 2 {
		t.Errorf("marks %v, want one for each server that shop has", w.Marks)
	}
}

// TestNobodyForwards wants nothing of the eBPF engine where it does not forward.
func TestNobodyForwards(t *testing.T) {
	for _, f := range []config.Forwarding{config.ForwardingIPVS, config.ForwardingNone} {
		w := deriveEBPF(func(_ *config.Config, e *reconcile.Env) { e.Forwarding = f }, result(a, up))
		if w.Setting != nil || len(w.Servers)+len(w.Shares)+len(w.Backs)+len(w.Marks)+len(w.Devices)+len(w.Notices) > 0 {
			t.Errorf("%s: %+v", f, w)
		}
	}
}
