// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// deriveIPVS applies events to baseConfig, with shop asked by the check and edited,
// on machine.
func deriveIPVS(edit func(*config.Config), events ...state.Event) reconcile.Want {
	return deriveEBPF(func(c *config.Config, e *reconcile.Env) {
		e.Forwarding = config.ForwardingIPVS
		forwardBy(config.DR, c)
		viaShop(c)
		edit(c)
	}, events...)
}

func errandLines(w reconcile.Want) string {
	var out []string
	for m, e := range w.Errands {
		d := e.Destination
		out = append(out, fmt.Sprintf("%s to %s %s %s:%d weight %d", m, e.Server, d.Method, d.Tunnel.Kind, d.Tunnel.Port, d.Weight))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestDeriveErrands(t *testing.T) {
	const markA, markB = "mark 0x6d798eb5 over IPv4 to ", "mark 0x6d7989f9 over IPv4 to "
	straight := map[string]string{"expire_nodest_conn": "1", "conn_reuse_mode": "3", "net/ipv4/conf/lo/accept_local": "1"}
	tests := []struct {
		name       string
		edit       func(*config.Config)
		want       string
		settings   map[string]string
		interfaces map[string]config.Attach
	}{
		{"dr", func(*config.Config) {},
			markB + "10.0.0.12:8080 dr :0 weight 1\n" + markA + "10.0.0.11:8080 dr :0 weight 1", straight,
			map[string]config.Attach{"eth0": config.AttachAuto, "eth1": config.AttachTC}},
		{"tun by gue, XDP for clients", func(c *config.Config) {
			forwardBy(config.TUN, c)
			c.Services[0].Tunnel = config.Tunnel{Kind: config.TunnelGUE, Port: 6080}
			c.Director.Attach = config.AttachXDP
		}, markB + "10.0.0.12:8080 tun gue:6080 weight 1\n" + markA + "10.0.0.11:8080 tun gue:6080 weight 1", straight,
			map[string]config.Attach{"eth0": config.AttachXDP, "eth1": config.AttachTC}},
		{"nat, one by the client's port", func(c *config.Config) {
			forwardBy(config.NAT, c)
			c.Pools[0].Servers[0].Port = 0
		}, markB + "10.0.0.12:8080 nat :0 weight 1\n" + markA + "10.0.0.11:80 nat :0 weight 1", nil,
			map[string]config.Attach{"eth0": config.AttachAuto}},
		{"the other family", func(c *config.Config) { c.Checks[0].Service = "shop6" },
			"mark 0x6d2a5267 over IPv6 to [fd00::13]:8080 dr :0 weight 1", straight,
			map[string]config.Attach{"eth0": config.AttachAuto, "eth1": config.AttachTC}},
		{"asked directly", func(c *config.Config) { c.Checks[0].Via = config.ViaDirect }, "", nil,
			map[string]config.Attach{"eth0": config.AttachAuto}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := deriveIPVS(test.edit) // nothing is decided yet
			if got := errandLines(w); got != test.want {
				t.Errorf("errands\n%s\nwant\n%s", got, test.want)
			}
			settings, probes := test.settings, test.settings != nil
			if !probes {
				settings = map[string]string{"expire_nodest_conn": "1", "conn_reuse_mode": "1"}
			}
			if !maps.Equal(w.Settings, settings) {
				t.Errorf("knobs %v, want %v", w.Settings, settings)
			}
			if (w.Setting != nil) != probes || probes && !w.Setting.Probes {
				t.Errorf("setting %+v", w.Setting)
			}
			if !maps.Equal(w.Attachments, test.interfaces) {
				t.Errorf("attached to %v, want %v", w.Attachments, test.interfaces)
			}
			if n := len(w.Marks) + len(w.Servers) + len(w.Devices); n > 0 {
				t.Errorf("%d rows for eBPF to forward by", n)
			}
		})
	}
}

// TestDeriveErrandsLeaveDecisionsAlone has a server die: its check still goes there.
func TestDeriveErrandsLeaveDecisionsAlone(t *testing.T) {
	w := deriveIPVS(func(*config.Config) {}, result(a, up), result(b, hard))
	if got, want := errandLines(w), errandLines(deriveIPVS(func(*config.Config) {})); got != want {
		t.Errorf("errands\n%s\nwant\n%s", got, want)
	}
	if len(w.Virtuals[tcp("192.0.2.10:80")].Destinations) != 2 {
		t.Errorf("destinations %v", w.Virtuals[tcp("192.0.2.10:80")].Destinations)
	}
}

func TestDeriveErrandsWithoutAWay(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*reconcile.Env)
		want []string
	}{
		"no route": {func(e *reconcile.Env) { delete(e.Paths, netip.MustParseAddr("10.0.0.12")) },
			[]string{"no route leads to the server 10.0.0.12 of pool app"}},
		"no Ethernet": {func(e *reconcile.Env) { e.Links["eth1"] = reconcile.Link{Index: 3} }, []string{
			"eth1, the way to the server 10.0.0.11 of pool app, is not Ethernet: eBPF can't see its answers",
			"eth1, the way to the server 10.0.0.12 of pool app, is not Ethernet: eBPF can't see its answers",
		}},
		"itself": {func(e *reconcile.Env) { e.Links["eth1"] = reconcile.Link{Index: 1, Loopback: true} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := deriveEBPF(func(c *config.Config, e *reconcile.Env) {
				e.Forwarding = config.ForwardingIPVS
				forwardBy(config.DR, c)
				viaShop(c)
				test.edit(e)
			})
			if !slices.Equal(w.Notices, test.want) {
				t.Errorf("notices %q, want %q", w.Notices, test.want)
			}
		})
	}
}

// TestErrandDrift lets somebody else change what checks go by.
func TestErrandDrift(t *testing.T) {
	first := reconcile.Mark{Number: 0x6d798eb5}
	put := "errands: lead mark 0x6d798eb5 over IPv4 to 10.0.0.11:8080, dr"
	tests := []struct {
		name   string
		tamper func(map[reconcile.Mark]reconcile.Errand)
		want   []string
	}{
		{"deleted", func(k map[reconcile.Mark]reconcile.Errand) { delete(k, first) }, []string{put}},
		{"to another server", func(k map[reconcile.Mark]reconcile.Errand) {
			e := k[first]
			e.Server = netip.MustParseAddrPort(b)
			k[first] = e
		}, []string{put}},
		{"altered", func(k map[reconcile.Mark]reconcile.Errand) { e := k[first]; e.Altered = true; k[first] = e }, []string{put}},
		{"added", func(k map[reconcile.Mark]reconcile.Errand) {
			k[reconcile.Mark{Number: first.Number, IPv6: true}] = k[first]
		}, []string{"errands: delete mark 0x6d798eb5 over IPv6"}},
		{"nothing", func(map[reconcile.Mark]reconcile.Errand) {}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			w := deriveIPVS(func(*config.Config) {}, result(a, up), result(b, up), result(c, up))
			r.reach(t, w)
			before := contents(r.kernel)
			test.tamper(r.kernel.ErrandTable)
			r.reach(t, w)
			if got := contents(r.kernel); got != before {
				t.Errorf("the kernel ends with\n%s\ninstead of\n%s", got, before)
			}
			if !slices.Equal(r.repairs, test.want) {
				t.Errorf("repairs %q, want %q", r.repairs, test.want)
			}
		})
	}
}

// TestErrandsKeepOffLo sees that with IPVS no program takes what checks send out of
// its hands, and that their answers are taken in for as long as there are checks.
func TestErrandsKeepOffLo(t *testing.T) {
	r := newRig(t)
	r.reach(t, deriveIPVS(func(*config.Config) {}, result(a, up), result(b, up)))
	if r.kernel.Probed || len(r.kernel.MarkTable) > 0 || !r.kernel.Setting.Probes || !r.kernel.Engines["eth1"].TC {
		t.Errorf("on lo: %t, marks %v, setting %+v, attached %v", r.kernel.Probed, r.kernel.MarkTable, r.kernel.Setting, r.kernel.Engines)
	}
	r.reach(t, deriveIPVS(func(c *config.Config) { c.Checks[0].Via = config.ViaDirect }, result(a, up), result(b, up)))
	if r.kernel.Setting.Probes || len(r.kernel.ErrandTable) > 0 || r.kernel.KnobTable["net/ipv4/conf/lo/accept_local"] != "0" {
		t.Errorf("setting %+v, errands %v, knobs %v", r.kernel.Setting, r.kernel.ErrandTable, r.kernel.KnobTable)
	}
}

// TestErrandsAreBehindNobody has their table fail: clients are forwarded all the same.
func TestErrandsAreBehindNobody(t *testing.T) {
	r := newRig(t)
	r.kernel.Fail = func(call string) error {
		if strings.Contains(call, "errand") {
			return errInjected
		}
		return nil
	}
	w := deriveIPVS(func(*config.Config) {}, result(a, up), result(b, up))
	r.engine.Update(w)
	if err := r.engine.Sync(t.Context()); err == nil {
		t.Error("all is said to be well")
	}
	if len(r.kernel.AddrTable) == 0 || len(r.kernel.IPVS) != len(w.Virtuals) {
		t.Errorf("addresses %v, services %v", r.kernel.AddrTable, r.kernel.IPVS)
	}
}
