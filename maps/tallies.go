// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"maps"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// Tallies reads what each server got and gave, summed over the CPUs.
func (m *Maps) Tallies() (map[ServerID]Tally, error) {
	m.mu.Lock()
	rowOf := maps.Clone(m.rowOf)
	m.mu.Unlock() // what follows takes long where there are many rows
	end := uint32(0)
	for _, at := range rowOf {
		end = max(end, uint32(at)+1)
	}
	sums, err := m.tallies(end)
	if err != nil {
		return nil, fmt.Errorf("read the tallies: %w", err)
	}
	out := make(map[ServerID]Tally, len(rowOf))
	for id, at := range rowOf {
		out[id] = sums[at]
	}
	return out, nil
}

// tallies sums up the rows below end.
func (m *Maps) tallies(end uint32) ([]Tally, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	const batch = 256 // a row has 64 bytes for each CPU
	keys, values := make([]uint32, batch), make([]bpf.DirectorTally, batch*cpus)
	sums := make([]Tally, end)
	var cursor ebpf.MapBatchCursor
	for done := uint32(0); done < end; {
		n, err := m.engine.Tallies.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, err
		}
		for i, key := range keys[:n] {
			for _, t := range values[i*cpus : (i+1)*cpus] {
				if key < end {
					sums[key].add(t)
				}
			}
		}
		if done += uint32(n); err != nil {
			break
		}
	}
	return sums, nil
}

func (t *Tally) add(row bpf.DirectorTally) {
	t.Packets += row.Packets
	t.Bytes += row.Bytes
	t.Flows += row.Flows
	t.BackPackets += row.BackPackets
	t.BackBytes += row.BackBytes
	t.Opened += row.Opened
	t.Refused += row.Refused
	t.Lost += row.Lost
}
