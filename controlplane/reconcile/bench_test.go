// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// BenchmarkDeath takes a server of a large configuration down and up again: 1000
// services on one pool of 100 servers.
func BenchmarkDeath(b *testing.B) {
	cfg := baseConfig()
	forwardBy(config.DR, cfg)
	cfg.Services = cfg.Services[:1]
	cfg.Services[0].Scheduler = "mh"
	cfg.Services[0].Ports = nil
	for port := range uint16(1000) {
		cfg.Services[0].Ports = append(cfg.Services[0].Ports, 1000+port)
	}
	cfg.Pools[0].Servers = nil
	env := machine(config.ForwardingEBPF)
	events := []state.Event{state.Loaded{Config: cfg}}
	for i := range 100 {
		s := server(fmt.Sprint(i), fmt.Sprintf("10.0.1.%d", i), 8080, 100)
		cfg.Pools[0].Servers = append(cfg.Pools[0].Servers, s)
		env.Paths[s.Address] = env.Paths[netip.MustParseAddr("10.0.0.11")]
		events = append(events, result(netip.AddrPortFrom(s.Address, s.Port).String(), up))
	}
	s, _ := state.Apply(state.New(), day, events...)
	k := fake.New()
	e := reconcile.New(reconcile.Options{Targets: []reconcile.Target{reconcile.NewSorry(k, k), reconcile.NewBalance(k)}, Logger: quiet()})
	first := true
	for b.Loop() {
		s, _ = state.Apply(s, day, result("10.0.1.7:8080", map[bool]checkers.Class{true: hard, false: up}[first]))
		first = !first
		e.Update(reconcile.Derive(s, env))
		if err := e.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
