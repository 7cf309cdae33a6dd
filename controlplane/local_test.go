// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
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
		Pages:    []config.Page{{Name: "closed", Image: page.Image{Digest: 7}}},
		Services: []config.Service{shop, plain},
	}
	sites := localSites(cfg)
	if len(sites) != 1 || sites[0].Page.Digest != 7 || sites[0].Certificates != "chain" || sites[0].Key != "key" ||
		!slices.Equal(sites[0].Addrs, []netip.AddrPort{netip.AddrPortFrom(addr, 443), netip.AddrPortFrom(addr, 8443)}) {
		t.Errorf("sites %+v", sites)
	}
}
