// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"maps"
	"net/netip"
	"testing"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// errandsOf has one for each way to a server that IPVS knows.
func errandsOf(servers ...string) map[reconcile.Mark]reconcile.Errand {
	table := map[reconcile.Mark]reconcile.Errand{}
	for _, server := range servers {
		at := netip.MustParseAddrPort(server)
		for i, d := range []reconcile.Destination{
			{Method: config.NAT}, {Method: config.DR}, {Method: config.TUN, Tunnel: config.Tunnel{Kind: config.TunnelIPIP}},
			{Method: config.TUN, Tunnel: config.Tunnel{Kind: config.TunnelGUE, Port: 6080}},
		} {
			d.Weight = 1
			table[reconcile.Mark{Number: config.MarkPrefix + uint32(i), IPv6: at.Addr().Is6()}] = reconcile.Errand{Server: at, Destination: d}
		}
	}
	// A tunnel may be of the other family.
	table[reconcile.Mark{Number: 0x6dffffff, IPv6: true}] = reconcile.Errand{
		Server:      netip.MustParseAddrPort("10.0.0.11:80"),
		Destination: reconcile.Destination{Method: config.TUN, Tunnel: config.Tunnel{Kind: config.TunnelIPIP}, Weight: 1},
	}
	return table
}

func sameErrands(t *testing.T, k *reconcile.IPVS, want map[reconcile.Mark]reconcile.Errand) {
	t.Helper()
	got, err := k.Errands()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("errands\n%+v\nwant\n%+v", got, want)
	}
}

// foreignMark is a service by firewall mark that is next to ours.
func foreignMark() ipvs.Service {
	return ipvs.Service{FWMark: 0x6e000000, Family: ipvs.INET, Scheduler: "wlc", Netmask: netmask.MaskFrom(32, 32)}
}

// TestIPVSErrands writes, moves and deletes; what others have is not seen.
func TestIPVSErrands(t *testing.T) {
	_, k, other := openIPVS(t)
	for _, s := range []ipvs.Service{foreignMark(), foreignService("203.0.113.1", "rr")} {
		if err := other.CreateService(s); err != nil {
			t.Fatal(err)
		}
	}
	here, there := errandsOf("10.0.0.11:80", "[fd00::11]:80"), errandsOf("10.0.0.12:8080", "[fd00::12]:8080")
	for _, want := range []map[reconcile.Mark]reconcile.Errand{here, here, there} {
		for m, e := range want {
			if err := k.PutErrand(m, e); err != nil {
				t.Fatalf("put %s to %s: %v", m, e.Server, err)
			}
		}
		sameErrands(t, k, want)
	}
	if virtuals, err := k.Virtuals(); err != nil || len(virtuals) != 1 {
		t.Errorf("services %v, %v: want the foreign one without a mark alone", virtuals, err)
	}
	for range 2 {
		for m := range there {
			if err := k.DeleteErrand(m); err != nil {
				t.Errorf("delete %s: %v", m, err)
			}
		}
	}
	sameErrands(t, k, map[reconcile.Mark]reconcile.Errand{})
	if services, err := other.Services(); err != nil || len(services) != 2 {
		t.Errorf("of others are left %v, %v", services, err)
	}
}

// TestIPVSErrandDrift lets somebody else change one, by the same means as ipvsadm.
func TestIPVSErrandDrift(t *testing.T) {
	mine := ipvs.Service{FWMark: 0x6d798eb5, Family: ipvs.INET, Scheduler: "rr", Netmask: netmask.MaskFrom(32, 32)}
	first := ipvs.Destination{Address: netip.MustParseAddr("10.0.0.11"), Port: 8080, Family: ipvs.INET, Weight: 1, FwdMethod: ipvs.DirectRoute}
	tests := []struct {
		name    string
		tamper  func(c ipvs.Client) error
		repairs int
	}{
		{"deleted", func(c ipvs.Client) error { return c.RemoveService(mine) }, 1},
		{"another scheduler", func(c ipvs.Client) error { s := mine; s.Scheduler = "wlc"; return c.UpdateService(s) }, 1},
		{"no server", func(c ipvs.Client) error { return c.RemoveDestination(mine, first) }, 1},
		{"a second server", func(c ipvs.Client) error {
			d := first
			d.Address = netip.MustParseAddr("10.0.0.99")
			return c.CreateDestination(mine, d)
		}, 1},
		{"weight", func(c ipvs.Client) error { d := first; d.Weight = 0; return c.UpdateDestination(mine, d) }, 1},
		{"nothing", func(ipvs.Client) error { return nil }, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newIPVSRig(t)
			w := deriveIPVS(func(*config.Config) {}, result(a, up), result(b, up), result(c, up))
			r.reach(t, w)
			sameErrands(t, r.table, w.Errands)
			if err := test.tamper(r.other); err != nil {
				t.Fatal(err)
			}
			if err := r.other.CreateService(foreignMark()); err != nil {
				t.Fatal(err)
			}
			r.reach(t, w)
			sameErrands(t, r.table, w.Errands)
			if len(r.repairs) != test.repairs {
				t.Errorf("%d repairs, want %d: %q", len(r.repairs), test.repairs, r.repairs)
			}
			r.reach(t, reconcile.Want{})
			if services, err := r.other.Services(); err != nil || len(services) != 1 || services[0].FWMark != foreignMark().FWMark {
				t.Errorf("after all IPVS holds %v, %v: want what is foreign", services, err)
			}
		})
	}
}
