// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"

	"github.com/maitred-lb/maitred/bpf"
)

// maxBack is BACK_MAX of bpf/include/types.h.
const maxBack = len(bpf.DirectorBack{}.Service)

// Backs reads which services have flows to an address and port of a server, in
// the order that they were put. A service that is gone has the zero Key.
func (m *Maps) Backs() (map[Key][]Key, error) {
	m.mu.Lock()
	services := make(map[uint32]Key, len(m.ids))
	for k, id := range m.ids {
		services[id] = k
	}
	m.mu.Unlock()
	out := map[Key][]Key{}
	var key bpf.DirectorEndpoint
	var row bpf.DirectorBack
	rows := m.engine.Backs.Iterate()
	for rows.Next(&key, &row) {
		keys := make([]Key, min(int(row.Count), maxBack))
		for i := range keys {
			keys[i] = services[uint32(row.Service[i])]
		}
		out[keyFrom(key)] = keys
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the ways back: %w", err)
	}
	return out, nil
}

// PutBack says which services, 16 at most, have flows to an address and port of a
// server. Each must have a row or be forwarded. Port 0 and protocol 4 are those
// of a server that gets its packets in a tunnel, and no service goes with it.
func (m *Maps) PutBack(server Key, services []Key) error {
	if len(services) > maxBack {
		return fmt.Errorf("put the way back from %s: %d services share it, and %d are the most", server.Addr, len(services), maxBack)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	row := bpf.DirectorBack{Count: uint32(len(services))}
	for i, k := range services {
		id, ok := m.ids[k]
		if !ok {
			return fmt.Errorf("put the way back from %s: service %s has no row", server.Addr, k.Addr)
		}
		row.Service[i] = uint16(id)
	}
	if err := m.engine.Backs.Put(keyTo(server), row); err != nil {
		return fmt.Errorf("put the way back from %s: %w", server.Addr, err)
	}
	return nil
}

// DeleteBack takes such a row away; it is no error if there is none.
func (m *Maps) DeleteBack(server Key) error {
	if err := deleteRow(m.engine.Backs, keyTo(server)); err != nil {
		return fmt.Errorf("delete the way back from %s: %w", server.Addr, err)
	}
	return nil
}
