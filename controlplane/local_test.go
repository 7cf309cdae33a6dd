// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/state"
)

func TestLocalSites(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.10")
	shop := config.Service{
		Name: "shop", Addresses: []netip.Addr{addr}, Ports: []uint16{443, 8443}, Protocol: config.TCP,
		Sorry: config.Sorry{Page: "closed", TLS: config.TLS{Certificates: "chain", Key: "key"}},
	}
	plain := shop
	plain.Name, plain.Sorry.TLS = "plain", config.TLS{}
	cfg := &config.Config{
		Pages: []config.Page{
			{Name: "closed", Image: page.Image{Digest: 7}}, {Name: "works", Image: page.Image{Digest: 8}},
			{Name: "mail", Image: page.Image{Digest: 9, Speech: page.SpeechGreeting}},
		},
		Services: []config.Service{shop, plain},
	}
	for name, want := range map[string]uint64{"works": 8, "mail": 7, "": 7} {
		s := state.State{Config: cfg, Services: map[string]state.Service{
			"shop": {Override: state.Override{Mode: state.OverrideOn, Page: name}},
		}}
		if sites := localSites(s); len(sites) != 1 || sites[0].Page.Digest != want {
			t.Errorf("with page %q by an operator: %+v", name, sites)
		}
	}
	sites := localSites(state.State{Config: cfg})
	if len(sites) != 1 || sites[0].Page.Digest != 7 || sites[0].Certificates != "chain" || sites[0].Key != "key" ||
		!slices.Equal(sites[0].Addrs, []netip.AddrPort{netip.AddrPortFrom(addr, 443), netip.AddrPortFrom(addr, 8443)}) {
		t.Errorf("sites %+v", sites)
	}
}
