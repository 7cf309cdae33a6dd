// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

func TestSlots(t *testing.T) {
	id := func(address string) maps.ServerID { return maps.ServerID{Addr: netip.MustParseAddrPort(address)} }
	a, b, c := id("10.0.0.1:80"), id("10.0.0.2:80"), id("10.0.0.3:80")
	shop := config.Virtual{Addr: netip.MustParseAddrPort("192.0.2.1:80"), Proto: config.TCP}
	w := Want{
		Shares: map[config.Virtual]Share{shop: {
			Spread: maps.SpreadTurn, Members: []Member{{Server: a, Weight: 2}, {Server: b, Weight: 1}, {Server: c, Weight: 5}},
		}},
		Servers: map[maps.ServerID]Server{
			a: {Server: maps.Server{State: maps.ServerUp}}, b: {Server: maps.Server{State: maps.ServerUp}},
			c: {Server: maps.Server{State: maps.ServerDrain}},
		},
	}
	got, ok := w.Slots(shop)
	if d := cmp.Diff(map[maps.ServerID]int{a: 2, b: 1}, got, cmp.Comparer(func(x, y netip.AddrPort) bool { return x == y })); d != "" || !ok {
		t.Errorf("slots, %v (-want +got):\n%s", ok, d)
	}
	if slots, ok := w.Slots(config.Virtual{}); ok {
		t.Errorf("of no service: %v", slots)
	}
}
