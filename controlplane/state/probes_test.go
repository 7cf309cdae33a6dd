// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// TestProbesViaTheDataPath has one check that asks directly and one that asks at
// a service's address, of the same servers.
func TestProbesViaTheDataPath(t *testing.T) {
	cfg := &config.Config{
		Checks: []config.Check{
			{Name: "direct", Type: "tcp", Port: 80, Via: config.ViaDirect, Fingerprint: "f"},
			{Name: "path", Type: "tcp", Port: 80, Via: config.ViaDataplane, Service: "shop", Fingerprint: "f"},
		},
		Pools: []config.Pool{{Name: "app", Checks: []string{"direct", "path"}, Servers: []config.Server{
			{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Weight: 1},
			{Name: "b", Address: netip.MustParseAddr("10.0.0.12"), Weight: 1},
		}}},
		Services: []config.Service{{
			Name: "shop", Pool: "app", Protocol: config.TCP, Method: config.DR,
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Ports: []uint16{443},
		}},
	}
	marks := map[string]bool{}
	for _, p := range state.Probes(cfg) {
		_, way, through := strings.Cut(p.Fingerprint, " at 192.0.2.10:443 by mark ")
		if through != (p.Key.Check == "path") {
			t.Errorf("probe %v has the fingerprint %q", p.Key, p.Fingerprint)
		}
		if through && marks[way] {
			t.Errorf("two servers are asked by the mark %s", way)
		}
		marks[way] = true
	}
	if len(marks) != 3 { // and none
		t.Errorf("marks %v, want one for each server", marks)
	}
}
