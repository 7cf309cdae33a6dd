// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// ring is the content of a ring that this process has put, or has found in place.
type ring struct {
	sum   ringSum
	slots []uint16        // rows of servers; nil once the kernel has them
	rows  map[uint16]bool // the servers in it
	inner *ebpf.Map       // nil where this process did not make it
	users int             // services that have inner
}

// ringSum tells rings apart by what is in them: of the same digest may be those
// of two pools with the same servers.
type ringSum [sha256.Size]byte

// rowsOf puts the servers' rows into the slots.
func (m *Maps) rowsOf(r Ring) (*ring, error) {
	rows := make([]uint16, len(r.Servers))
	for i, id := range r.Servers {
		at, ok := m.rowOf[id.canonical()]
		if !ok {
			return nil, fmt.Errorf("its ring has server %s, which has no row", id.Addr)
		}
		rows[i] = at
	}
	out := &ring{slots: make([]uint16, len(r.Slots)), rows: map[uint16]bool{}}
	bytes := make([]byte, 0, 2*len(r.Slots))
	for i, index := range r.Slots {
		if int(index) >= len(rows) {
			return nil, fmt.Errorf("slot %d of its ring has server %d of %d", i, index, len(rows))
		}
		out.slots[i] = rows[index]
		out.rows[rows[index]] = true
		bytes = binary.NativeEndian.AppendUint16(bytes, rows[index])
	}
	out.sum = sha256.Sum256(bytes)
	return out, nil
}

// putRing gives a service its ring in the kernel. Services with the same ring
// share one map.
func (m *Maps) putRing(id uint32, r *ring) error {
	if same, ok := m.rings[r.sum]; ok {
		r = same
	} else {
		inner, err := m.engine.NewRing(r.slots)
		if err != nil {
			return err
		}
		r.inner = inner
	}
	if err := m.engine.Rings.Put(id, r.inner); err != nil {
		err = fmt.Errorf("put ring %d: %w", id, err)
		if r.users == 0 {
			err = errors.Join(err, r.inner.Close())
		}
		return err
	}
	r.users++
	r.slots = nil
	m.rings[r.sum] = r
	err := m.dropRing(id)
	m.ringOf[id] = r
	return err
}

// dropRing forgets which ring a service has.
func (m *Maps) dropRing(id uint32) error {
	r := m.ringOf[id]
	delete(m.ringOf, id)
	if r == nil || r.inner == nil {
		return nil
	}
	if r.users--; r.users > 0 {
		return nil
	}
	delete(m.rings, r.sum)
	return r.inner.Close()
}

// closeRings gives the descriptors back.
func (m *Maps) closeRings() error {
	var errs []error
	for _, r := range m.rings {
		errs = append(errs, r.inner.Close())
	}
	return errors.Join(errs...)
}
