// SPDX-License-Identifier: Apache-2.0

package state

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/config"
)

func TestCount(t *testing.T) {
	server := func(name, address string, weight int) config.Server {
		return config.Server{Name: name, Address: netip.MustParseAddr(address), Weight: weight}
	}
	pool := config.Pool{Name: "app", Servers: []config.Server{
		server("a", "10.0.0.1", 100), server("b", "10.0.0.2", 100), server("c", "10.0.0.3", 200),
	}}
	up := func(names ...string) map[ServerID]Server {
		out := map[ServerID]Server{}
		for _, name := range names {
			out[ServerID{"app", name}] = Server{Verdict: VerdictUp}
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		quorum config.Quorum
		up     map[ServerID]Server
		want   Count
	}{
		{"one is enough", config.Quorum{Min: 1}, up("a", "b"), Count{Has: 2, Keep: 1, Reach: 1}},
		{"hysteresis", config.Quorum{Min: 2, Hysteresis: 1}, up("a"), Count{Has: 1, Keep: 1, Reach: 3}},
		{"no more than the pool has", config.Quorum{Min: 3, Hysteresis: 2}, up(), Count{Has: 0, Keep: 1, Reach: 3}},
		{"never fewer than one", config.Quorum{Min: 1, Hysteresis: 1}, up(), Count{Has: 0, Keep: 1, Reach: 2}},
		{"per cent", config.Quorum{Min: 50, Hysteresis: 10, Percent: true}, up("a", "c"), Count{Has: 75, Keep: 40, Reach: 60}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			service := config.Service{Name: "shop", Pool: "app", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Quorum: tc.quorum}
			s := State{Config: &config.Config{Pools: []config.Pool{pool}, Services: []config.Service{service}}, Servers: tc.up}
			if d := cmp.Diff(tc.want, s.Count(service)); d != "" {
				t.Errorf("count (-want +got):\n%s", d)
			}
			// What is told is what decides: Has must reach Keep exactly where the
			// service goes on serving.
			n, counted := s.Count(service), countPool(s, service)
			if goesOn := counted.reaches(counted.need(ModeServe, tc.quorum), false, tc.quorum.Percent); goesOn != (n.Has >= n.Keep) {
				t.Errorf("%+v, but it goes on serving: %v", n, goesOn)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	pool := config.Pool{Name: "app", Checks: []string{"web", "port"}}
	cfg := &config.Config{Pools: []config.Pool{pool}, Checks: []config.Check{{Name: "web", Type: "http", DefaultPort: 80}, {Name: "port", Type: "tcp", Port: 7}}}
	got := Keys(cfg, pool, config.Server{Address: netip.MustParseAddr("10.0.0.1")})
	if len(got) != 2 || got[0].Check != "web" || got[0].Target.String() != "10.0.0.1:80" || got[1].Target.String() != "10.0.0.1:7" {
		t.Errorf("%v", got)
	}
}
