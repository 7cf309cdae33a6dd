// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// FlowTable is the table of connections of the eBPF engine; maps.Maps is one.
type FlowTable interface {
	Flows(yield func(maps.Flow) bool) error
}

// ebpfStates are those of the engine's flows.
func ebpfStates() []string {
	var names []string
	for _, s := range []maps.FlowState{maps.FlowNew, maps.FlowOpen, maps.FlowFIN, maps.FlowReset, maps.FlowUDP} {
		names = append(names, s.String())
	}
	return names
}

func flowOf(f maps.Flow) Flow {
	return Flow{
		Virtual: config.Virtual{Addr: f.Service.Addr, Proto: protocolOf(f.Service.Proto)},
		Client:  f.Client, Server: f.Server.Addr, Source: f.Source,
		State: f.State.String(), Idle: f.Idle, Left: f.Left,
	}
}

// protocolOf names an IP protocol number; rows have no others.
func protocolOf(number uint8) config.Protocol {
	const udp = 17
	if number == udp {
		return config.UDP
	}
	return config.TCP
}
