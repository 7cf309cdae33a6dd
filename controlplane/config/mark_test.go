// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"testing"
)

// dataplaneConfig has a pool of n servers that a check asks via the data path.
func dataplaneConfig(n int) *Config {
	pool := Pool{Name: "app", Checks: []string{"path"}}
	for i := range n {
		pool.Servers = append(pool.Servers, Server{
			Name: fmt.Sprintf("s%d", i), Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Weight: 1,
		})
	}
	return &Config{
		Pools:  []Pool{pool},
		Checks: []Check{{Name: "path", Type: "tcp", Via: ViaDataplane, Service: "shop"}},
		Services: []Service{{
			Name: "shop", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Ports: []uint16{80, 443},
			Protocol: TCP, Method: DR, Pool: "app",
		}},
	}
}

func TestErrands(t *testing.T) {
	cfg := dataplaneConfig(10000)
	all := cfg.Errands()
	if len(all) != 10000 {
		t.Fatalf("%d errands, want one for each server", len(all))
	}
	seen := map[uint32]Errand{}
	for e, m := range all {
		if other, twice := seen[m.Mark]; twice || m.Mark&^markBits != MarkPrefix {
			t.Fatalf("mark %#x of %v, and of %v", m.Mark, e, other)
		}
		seen[m.Mark] = e
		if m.At != netip.MustParseAddrPort("192.0.2.10:80") {
			t.Fatalf("%v is asked at %v, want the first address and port", e, m.At)
		}
	}
}

func TestErrandsStayOverAReload(t *testing.T) {
	before, after := dataplaneConfig(50), dataplaneConfig(50)
	after.Pools[0].Servers = after.Pools[0].Servers[1:]
	was, now := before.Errands(), after.Errands()
	for e, m := range now {
		if was[e] != m {
			t.Errorf("%v had %v and has %v", e, was[e], m)
		}
	}
	if len(now) != 49 {
		t.Errorf("%d errands after a server left", len(now))
	}
	after.Checks[0].Via = ViaDirect
	if direct := after.Errands(); len(direct) != 0 {
		t.Errorf("a direct check has errands: %v", direct)
	}
}
