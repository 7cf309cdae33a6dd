// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// Connections is what IPVS counts of a destination. The counters begin with the
// destination; of methods other than nat nothing comes back by the director.
type Connections struct {
	Active, Inactive      int    // now; inactive: opening, or closed and remembered
	Total                 uint64 // that there were
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64
}

// Loads reads what IPVS counts of each destination of each service.
func (k *IPVS) Loads() (map[config.Virtual]map[netip.AddrPort]Connections, error) {
	services, err := k.client.Services()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // none at all
		return nil, fmt.Errorf("list services: %w", err)
	}
	out := make(map[config.Virtual]map[netip.AddrPort]Connections, len(services))
	for _, s := range services {
		proto, known := protocols[s.Protocol]
		if s.FWMark != 0 || !known {
			continue
		}
		destinations, err := k.client.Destinations(s.Service)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list destinations of %s:%d: %w", s.Address, s.Port, err)
		}
		counts := make(map[netip.AddrPort]Connections, len(destinations))
		for _, d := range destinations {
			counts[netip.AddrPortFrom(d.Address, d.Port)] = Connections{
				Active: int(d.ActiveConnections), Inactive: int(d.InactiveConnections),
				Total: d.Stats64.Connections, PacketsIn: d.Stats64.IncomingPackets, PacketsOut: d.Stats64.OutgoingPackets,
				BytesIn: d.Stats64.IncomingBytes, BytesOut: d.Stats64.OutgoingBytes,
			}
		}
		out[config.Virtual{Addr: netip.AddrPortFrom(s.Address, s.Port), Proto: proto}] = counts
	}
	return out, nil
}
