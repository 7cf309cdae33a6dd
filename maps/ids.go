// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// ErrNoID is returned for a service too many.
var ErrNoID = errors.New("no service id is free")

// newID finds an id for a service, and clears its counters. A service that has
// one already keeps it.
func (m *Maps) newID(k Key) (uint32, error) {
	id, ok := m.ids[k]
	if !ok {
		var err error
		if id, err = m.freeID(); err != nil {
			return 0, err
		}
	}
	if err := m.clearCounters(id); err != nil {
		return 0, err
	}
	m.ids[k] = id
	return id, nil
}

// freeID finds an id that is nobody's. One that may still have flows of a service
// that is gone is free after a sweep.
func (m *Maps) freeID() (uint32, error) {
	taken := map[uint32]bool{0: true} // 0 counts what is nobody's
	for _, id := range m.ids {
		taken[id] = true
	}
	for range 2 {
		for id := uint32(0); id < m.maxIDs() && !m.unswept; id++ {
			if _, stale := m.stale[id]; !taken[id] && !stale {
				return id, nil
			}
		}
		if _, err := m.sweepLocked(); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: %d are the most", ErrNoID, m.maxIDs()-1)
}

func (m *Maps) maxIDs() uint32 { return m.engine.Counters.MaxEntries() / verdictRoom }

// releaseID lets others have the id of a service that has no row any more and is
// not forwarded.
func (m *Maps) releaseID(k Key) error {
	id, ok := m.ids[k]
	if !ok || m.forwarded[id] {
		return nil
	}
	var row bpf.DirectorService
	switch err := m.engine.Services.Lookup(keyTo(k), &row); {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		delete(m.ids, k)
	case err != nil:
		return fmt.Errorf("read service %s: %w", k.Addr, err)
	}
	return nil
}
