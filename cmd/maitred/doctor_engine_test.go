// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

func noIPVS(h *host, _ *config.Config) { h.ipvs = func() error { return errNone } }

func set(file, value string) func(*host, *config.Config) {
	return func(h *host, _ *config.Config) {
		h.root.(fstest.MapFS)[file] = &fstest.MapFile{Data: []byte(value + "\n")}
	}
}

// both spoils in two ways.
func both(one, two func(*host, *config.Config)) func(*host, *config.Config) {
	return func(h *host, c *config.Config) { one(h, c); two(h, c) }
}

func fullNAT(_ *host, c *config.Config) {
	c.Director.FullNAT.Sources = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
}

// direct has all services forwarded by dr.
func direct(_ *host, c *config.Config) {
	for i := range c.Services {
		c.Services[i].Method = config.DR
	}
}

// byDataplane has a check ask a service of method dr through the forwarding.
func byDataplane(_ *host, c *config.Config) {
	c.Checks = []config.Check{{Name: "web", Via: config.ViaDataplane, Service: "shop"}}
	c.Services[0].Method = config.DR
}

func TestDoctorFindsFaultsOfTheEngine(t *testing.T) {
	silent := func(h *host, _ *config.Config) {
		h.silent = func(ways []reconcile.Path) []reconcile.Path { return ways[1:2] }
	}
	counting := func(_ *host, c *config.Config) { c.Services[0].Scheduler = "wlc" }
	for _, f := range []fault{
		{"no IPVS", noIPVS, "forwarding", levelOK, ""},
		{"no IPVS, but asked for", both(noIPVS, func(_ *host, c *config.Config) { c.Director.Forwarding = config.ForwardingIPVS }),
			"forwarding", levelFail, "director.forwarding to auto or ebpf"},
		{"no IPVS, nor asked for", both(noIPVS, func(_ *host, c *config.Config) { c.Director.Forwarding = config.ForwardingNone }), "forwarding", levelOK, ""},
		{"a scheduler that eBPF has not", both(noIPVS, counting), "configuration", levelFail, "director.forwarding"},
		{"full NAT that IPVS has not", func(_ *host, c *config.Config) { c.Services[0].Method = config.FULLNAT }, "configuration", levelFail, "director.forwarding"},
		{"no routes for eBPF by nat", both(noIPVS, set("proc/sys/net/ipv4/ip_forward", "0")), "net.ipv4.ip_forward", levelFail, "sysctl -w net.ipv4.ip_forward=1"},
		{"no routes for eBPF by dr", both(both(noIPVS, direct), set("proc/sys/net/ipv4/ip_forward", "0")), "net.ipv4.ip_forward", levelWarn, "sysctl -w net.ipv4.ip_forward=1"},
		{"no routes of IPv6 for eBPF by nat", both(noIPVS, set("proc/sys/net/ipv6/conf/all/forwarding", "0")), "net.ipv6.conf.all.forwarding", levelFail, "sysctl -w"},
		{"a table too large", both(noIPVS, func(_ *host, c *config.Config) { c.Director.Connections.Memory = 2 << 30 }),
			"table of connections", levelWarn, "director.connections.memory: less than 980.5 MiB"},
		{"memory not told", both(noIPVS, set("proc/meminfo", "")), "table of connections", levelOK, ""},
		{"ports of full NAT", both(noIPVS, fullNAT), "full NAT ports", levelOK, ""},
		{"addresses of full NAT that are not here", both(noIPVS, fullNAT), "full NAT addresses", levelFail, "ip address add 10.0.0.1 "},
		{"ports of full NAT in use", both(noIPVS, both(fullNAT, set("proc/sys/net/ipv4/ip_local_port_range", "10000 60999"))),
			"full NAT ports", levelFail, "ip_local_port_range='32768 65535'"},
		{"ports of full NAT in use, up high", both(both(noIPVS, fullNAT), func(_ *host, c *config.Config) { c.Director.FullNAT.PortLast = 40000 }),
			"full NAT ports", levelFail, "ip_local_port_range='40001 65535'"},
		{"local ports not told", both(both(noIPVS, fullNAT), func(h *host, _ *config.Config) {
			delete(h.root.(fstest.MapFS), "proc/sys/net/ipv4/ip_local_port_range")
		}),
			"full NAT ports", levelWarn, "other ports"},
		{"no route to a server", both(noIPVS, func(h *host, _ *config.Config) {
			h.path = func(netip.Addr) (reconcile.Path, error) { return reconcile.Path{}, errNone }
		}), "routes", levelFail, "ip route get 10.0.0.11"},
		{"a silent neighbour", both(noIPVS, silent), "neighbours", levelWarn, "ip neigh"},
		{"XDP that does not send", both(noIPVS, func(h *host, _ *config.Config) { h.transmits = func(int) support { return supportNo } }), "eth1 XDP to servers", levelOK, ""},
		{"XDP that may send", both(noIPVS, func(h *host, _ *config.Config) { h.transmits = func(int) support { return supportUnknown } }), "eth1 XDP to servers", levelOK, ""},
		{"checks via dataplane", both(noIPVS, byDataplane), "checks via dataplane", levelOK, ""},
		{"checks via dataplane by IPVS", byDataplane, "checks via dataplane", levelOK, ""},
		{"checks via dataplane by nat", both(byDataplane, func(_ *host, c *config.Config) { c.Services[0].Method = config.NAT }),
			"checks via dataplane", levelOK, ""},
	} {
		t.Run(f.name, f.test)
	}
}

// said is what is found of a check.
func said(h host, cfg *config.Config, check string) string {
	for _, f := range examine(h, cfg) {
		if f.Check == check {
			return f.Found
		}
	}
	return ""
}

func TestDoctorSaysWhatItFindsOfTheEngine(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*host, *config.Config)
		check string
		want  string
	}{
		{"IPVS", func(*host, *config.Config) {}, "forwarding", "ipvs: director.forwarding is auto, and this kernel has IPVS"},
		{"eBPF", noIPVS, "forwarding", "ebpf: director.forwarding is auto, and this kernel has no IPVS"},
		{"asked for", func(_ *host, c *config.Config) { c.Director.Forwarding = config.ForwardingEBPF }, "forwarding", "ebpf: director.forwarding says so"},
		{"memory", noIPVS, "table of connections", "64 MiB for 524288 connections, of 3.83 GiB that this machine has"},
		{"neighbours", noIPVS, "neighbours", "all next hops to the real servers answer (3 next hops)"},
		{"silent neighbours", both(noIPVS, func(h *host, _ *config.Config) {
			h.silent = func(ways []reconcile.Path) []reconcile.Path { return ways }
		}), "neighbours", "10.0.0.11 on eth1, 10.0.0.12 on eth1, 2001:db8:1::11 on eth1"},
		{"ports", both(noIPVS, fullNAT), "full NAT ports", "1024-32767 on addresses [10.0.0.1 10.0.0.2]: 63488 connections to each port of a server"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, cfg := healthy(), director()
			tc.spoil(&h, cfg)
			if got := said(h, cfg, tc.check); !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestDoctorAsksNothingOfNoEngine(t *testing.T) {
	h, cfg := healthy(), director()
	cfg.Director.Forwarding = config.ForwardingNone
	h.root.(fstest.MapFS)["proc/sys/net/ipv4/ip_forward"].Data = []byte("0\n")
	if slices.ContainsFunc(examine(h, cfg), func(f finding) bool { return f.Level != levelOK }) {
		t.Errorf("%+v", examine(h, cfg))
	}
}

func TestSome(t *testing.T) {
	if got := some(slices.Repeat([]string{"x"}, 11)); !strings.HasSuffix(got, "x and 3 more") || strings.Count(got, "x") != 8 {
		t.Errorf("%q", got)
	}
}

func TestPortRange(t *testing.T) {
	for text, want := range map[string]bool{"1 2": true, "32768\t60999": true, "": false, "1": false, "a b": false} {
		if _, _, ok := portRange(text); ok != want {
			t.Errorf("%q: %v, want %v", text, ok, want)
		}
	}
}

// The ways of this machine: a test's own loopback always leads somewhere.
func TestDoctorLooksAtWays(t *testing.T) {
	way, err := askPath(netip.MustParseAddr("127.0.0.1"))
	if err != nil || way.Interface != "lo" {
		t.Fatalf("%+v, %v", way, err)
	}
	if silent := askSilent(t.Context(), []reconcile.Path{way}); len(silent) != 0 {
		t.Errorf("loopback is said to be silent: %+v", silent)
	}
}
