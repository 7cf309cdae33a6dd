// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// small is a configuration with one of each kind.
func small() *config.Config {
	return &config.Config{
		Director: config.Director{Name: "lb1", Interfaces: []string{"eth0"}},
		Checks:   []config.Check{{Name: "web", Fingerprint: "1"}},
		Pools: []config.Pool{{Name: "app", Checks: []string{"web"}, Servers: []config.Server{
			{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Weight: 100},
		}}},
		Pages:    []config.Page{{Name: "closed", Image: page.Image{Digest: 1}}},
		Services: []config.Service{{Name: "shop", Ports: []uint16{80}, Pool: "app"}},
	}
}

// TestConfigurationChange reads what a reload says of itself.
func TestConfigurationChange(t *testing.T) {
	for _, tc := range []struct {
		name             string
		change           func(c *config.Config)
		from, to, reason string
	}{
		{"nothing", func(*config.Config) {}, "", "", "nothing changed"},
		{"a port", func(c *config.Config) { c.Services[0].Ports = []uint16{443} }, "", "", "service shop changed"},
		{"the text of a page", func(c *config.Config) { c.Pages[0].Image.Digest = 2 }, "", "", "page closed changed"},
		{"the time of a check", func(c *config.Config) { c.Checks[0].Fingerprint = "2" }, "", "", "check web changed"},
		{"the weight of a server", func(c *config.Config) { c.Pools[0].Servers[0].Weight = 7 }, "", "", "pool app changed"},
		{"an interface", func(c *config.Config) { c.Director.Interfaces = []string{"eth9"} }, "", "", "interfaces eth0 -> eth9"},
		{"where the engine sits", func(c *config.Config) { c.Director.Attach = config.AttachTC }, "", "", "director changed"},
		{"a name", func(c *config.Config) { c.Services[0].Name = "store" }, "", "", "service store added, service shop removed"},
		{"many added", func(c *config.Config) {
			for _, name := range []string{"b", "c", "d", "e", "f", "g", "h"} {
				c.Services = append(c.Services, config.Service{Name: name})
			}
		}, "1 service, 1 server", "8 services, 1 server", "service b c d e f and 2 more added"},
		{"several kinds", func(c *config.Config) {
			c.Pages, c.Pools[0].Checks, c.Checks = nil, nil, []config.Check{{Name: "tcp"}}
		}, "", "", "check tcp added, check web removed, pool app changed, page closed removed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, first := state.Apply(state.New(), time.Unix(0, 0), state.Loaded{Config: small()})
			if c := first[0]; c.From != "nothing" || c.To != "1 service, 1 server" || c.Reason != "configuration loaded" {
				t.Errorf("the first: %+v", c)
			}
			next := small()
			tc.change(next)
			_, changes := state.Apply(s, time.Unix(1, 0), state.Loaded{Config: next})
			want := state.Change{
				At: time.Unix(1, 0), Kind: state.KindConfig, Name: "lb1",
				From: tc.from, To: tc.to, Reason: "configuration loaded: " + tc.reason,
			}
			if d := cmp.Diff(want, changes[0]); d != "" {
				t.Errorf("change (-want +got):\n%s", d)
			}
		})
	}
}
