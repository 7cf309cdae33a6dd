// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"

	"github.com/maitred-lb/maitred/bpf"
)

// Forwards reads how each service is forwarded.
func (m *Maps) Forwards() (map[Key]Forward, error) {
	rows, err := readArray[bpf.DirectorForward](m.engine.Forwards)
	if err != nil {
		return nil, fmt.Errorf("read what is forwarded: %w", err)
	}
	out := map[Key]Forward{}
	for _, row := range rows {
		if row.Service != (bpf.DirectorEndpoint{}) {
			out[keyFrom(row.Service)] = Forward{
				Spread: Spread(row.Spread), Down: Down(row.Down), Ring: Ring{Digest: row.Digest},
			}
		}
	}
	return out, nil
}

// PutForward says how a service is forwarded. It may come before the service has
// a row. The servers of the ring must have theirs. A ring of another digest, or
// of other servers, takes the place of the former whole.
func (m *Maps) PutForward(k Key, f Forward) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.putForward(k, f); err != nil {
		return fmt.Errorf("forward service %s: %w", k.Addr, err)
	}
	return nil
}

func (m *Maps) putForward(k Key, f Forward) error {
	if f.Spread > SpreadPort || f.Down > DownKeep {
		return fmt.Errorf("it makes no sense: spread %d, down %d", f.Spread, f.Down)
	}
	r, err := m.rowsOf(f.Ring)
	if err != nil {
		return err
	}
	id, ok := m.ids[k]
	if !ok {
		if id, err = m.newID(k); err != nil {
			return err
		}
	}
	var before bpf.DirectorForward
	if err := m.engine.Forwards.Lookup(id, &before); err != nil {
		return fmt.Errorf("read its row: %w", err)
	}
	row := bpf.DirectorForward{
		Digest: f.Ring.Digest, Service: keyTo(k), Slots: uint32(len(r.slots)),
		Spread: bpf.DirectorSpread(f.Spread), Down: bpf.DirectorDownFate(f.Down),
	}
	if err := m.changeRing(id, before, row, r); err != nil {
		return err
	}
	if row != before {
		if err := m.engine.Forwards.Put(id, row); err != nil {
			return fmt.Errorf("write its row: %w", err)
		}
	}
	m.forwarded[id] = true
	delete(m.stale, id) // what is left are its own flows
	if row.Slots == 0 {
		return m.dropRing(id)
	}
	return nil
}

// changeRing brings the ring into the kernel unless it is there. No reader may
// look beyond a ring's end, and to put one takes long (18 ms on Linux 6.1): so a
// shorter one comes after its length, and a longer one before. The former digest is
// wiped out first, and the new one written last, so that a change that was cut
// short is made again, or undone.
func (m *Maps) changeRing(id uint32, before, row bpf.DirectorForward, r *ring) error {
	there := m.ringOf[id]
	same := before.Digest == row.Digest && before.Slots == row.Slots && (there == nil || there.sum == r.sum)
	switch {
	case row.Slots == 0:
		return nil // nobody will look at the one that is there
	case same && there == nil: // a process before this one has put it
		r.slots = nil
		m.ringOf[id] = r
		return nil
	case same:
		return nil
	}
	if before.Slots > 0 {
		before.Digest, before.Slots = 0, min(before.Slots, row.Slots)
		if err := m.engine.Forwards.Put(id, before); err != nil {
			return fmt.Errorf("have its ring known for none: %w", err)
		}
	}
	return m.putRing(id, r)
}

// DeleteForward ends the forwarding of a service; it is no error if there is
// none. Its flows go with the next sweep. It comes before the deletion of the
// service's row.
func (m *Maps) DeleteForward(k Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, ok := m.ids[k]
	if !ok || !m.forwarded[id] {
		return nil
	}
	if err := m.clearForward(id); err != nil {
		return fmt.Errorf("end the forwarding of service %s: %w", k.Addr, err)
	}
	return m.releaseID(k)
}

func (m *Maps) clearForward(id uint32) error {
	if err := m.engine.Forwards.Put(id, bpf.DirectorForward{}); err != nil {
		return fmt.Errorf("clear row %d: %w", id, err)
	}
	delete(m.forwarded, id)
	m.deletions++
	m.stale[id] = m.deletions
	if err := m.dropRing(id); err != nil {
		return fmt.Errorf("close ring %d: %w", id, err)
	}
	if err := deleteRow(m.engine.Rings, id); err != nil {
		return fmt.Errorf("free ring %d: %w", id, err)
	}
	return nil
}

// adoptForwards notes which services are forwarded, and keeps their ids for them
// where a process has ended before it put their rows. A row of an id that is
// somebody else's is one that such a process had no time to clear.
func (m *Maps) adoptForwards() error {
	rows, err := readArray[bpf.DirectorForward](m.engine.Forwards)
	if err != nil {
		return fmt.Errorf("read what is forwarded: %w", err)
	}
	taken := map[uint32]bool{}
	for _, id := range m.ids {
		taken[id] = true
	}
	for i, row := range rows {
		if row.Service == (bpf.DirectorEndpoint{}) {
			continue
		}
		id, k := uint32(i), keyFrom(row.Service)
		has, known := m.ids[k]
		switch {
		case known && has == id, !known && !taken[id]:
			m.ids[k], m.forwarded[id] = id, true
		default:
			if err := m.clearForward(id); err != nil {
				return err
			}
		}
	}
	return nil
}
