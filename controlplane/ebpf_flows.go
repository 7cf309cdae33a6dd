// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// ebpfFlows is the Traffic of the eBPF engine.
type ebpfFlows struct{ table Flows }

// States implements Traffic.
func (ebpfFlows) States() []string {
	var names []string
	for _, s := range []maps.FlowState{maps.FlowNew, maps.FlowOpen, maps.FlowFIN, maps.FlowReset, maps.FlowUDP} {
		names = append(names, s.String())
	}
	return names
}

// Flows implements Traffic.
func (t ebpfFlows) Flows(yield func(Flow) bool) error {
	return t.table.Flows(func(f maps.Flow) bool { return yield(flowOf(f)) })
}

func flowOf(f maps.Flow) Flow {
	return Flow{
		Virtual: reconcile.VirtualOf(f.Service), Client: f.Client, Server: f.Server.Addr, Source: f.Source,
		State: f.State.String(), Idle: f.Idle, Left: f.Left,
	}
}

// Load implements Traffic. What is of now is as the last sweep found it.
func (t ebpfFlows) Load(cfg *config.Config) (Load, error) {
	out := Load{
		Servers: map[state.ServerID]api.Traffic{}, Services: map[config.Virtual]int{},
		Open: map[state.ServerID]int{}, OpenOf: map[config.Virtual]int{},
	}
	census, swept := t.table.Census()
	if !swept.IsZero() {
		out.Table = &api.FlowTable{
			Used: census.Total, Capacity: census.Capacity, Swept: swept.UTC(), Took: census.Took.Seconds(),
			Removed: census.Removed, Memory: tableMemory(cfg),
		}
	}
	for key, n := range census.ByService {
		out.Services[reconcile.VirtualOf(key)] = n
	}
	for key, n := range census.OpenByService {
		out.OpenOf[reconcile.VirtualOf(key)] = n
	}
	tallies, err := t.table.Tallies()
	if err != nil {
		return out, err
	}
	for id, name := range serverNames(cfg) {
		n := tallies[id]
		sum := out.Servers[name]
		sum.Active += census.Flows[id]
		out.Open[name] += census.Open[id]
		sum.Flows += n.Flows
		sum.Packets += n.Packets
		sum.Bytes += n.Bytes
		sum.BackPackets += n.BackPackets
		sum.BackBytes += n.BackBytes
		sum.Opened += n.Opened
		sum.Refused += n.Refused
		sum.Lost += n.Lost
		out.Servers[name] = sum
	}
	return out, nil
}

// serverNames finds the servers of a configuration by the rows that they have in
// the engine: one for each method by which a pool's server is reached.
func serverNames(cfg *config.Config) map[maps.ServerID]state.ServerID {
	names := map[maps.ServerID]state.ServerID{}
	for _, service := range cfg.Services {
		for _, part := range service.ByPool() {
			pool, _ := cfg.Pool(part.Pool)
			for _, server := range pool.Serving(part) {
				names[reconcile.ServerID(part, server)] = state.ServerID{Pool: pool.Name, Name: server.Name}
			}
		}
	}
	return names
}
