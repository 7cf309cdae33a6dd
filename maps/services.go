// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// Services reads the service map.
func (m *Maps) Services() (map[Key]Service, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows, err := m.rows()
	if err != nil {
		return nil, err
	}
	pages := map[uint32]PageID{}
	for id, slot := range m.slots {
		pages[slot] = id
	}
	out := make(map[Key]Service, len(rows))
	for key, row := range rows {
		out[keyFrom(key)] = Service{
			Mode:    Mode(row.Mode),
			Orphans: Orphans(row.Orphans),
			Page:    pages[row.Page[row.Current&1]],
		}
	}
	return out, nil
}

// PutService writes a row. The page, unless zero, must be in the kernel. Where
// it is another than before, exchanges in flight still end on the one before.
func (m *Maps) PutService(k Key, s Service) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, ok := m.slots[s.Page]
	if s.Page != 0 && (!ok || m.doomed[s.Page]) {
		return fmt.Errorf("put service %s: page %x is not in the kernel", k.Addr, s.Page)
	}
	var row bpf.DirectorService
	switch err := m.engine.Services.Lookup(keyTo(k), &row); {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		if row.Id, err = m.newID(k); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("read service %s: %w", k.Addr, err)
	}
	row.Mode = bpf.DirectorServiceMode(s.Mode)
	row.Orphans = bpf.DirectorOrphanFate(s.Orphans)
	if row.Page[row.Current&1] != slot {
		row.Current = 1 - row.Current&1
		row.Page[row.Current] = slot
		row.Salt[row.Current] = uint32(s.Page)
	}
	if err := m.engine.Services.Put(keyTo(k), row); err != nil {
		return fmt.Errorf("put service %s: %w", k.Addr, err)
	}
	return m.buryNow()
}

// DeleteService takes a row away; it is no error if there is none.
func (m *Maps) DeleteService(k Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.engine.Services.Delete(keyTo(k)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete service %s: %w", k.Addr, err)
	}
	delete(m.ids, k)
	return m.buryNow()
}

func (m *Maps) buryNow() error {
	if len(m.doomed) == 0 {
		return nil
	}
	rows, err := m.rows()
	if err != nil {
		return err
	}
	return m.bury(rows)
}

func (m *Maps) rows() (map[bpf.DirectorEndpoint]bpf.DirectorService, error) {
	out := map[bpf.DirectorEndpoint]bpf.DirectorService{}
	var key bpf.DirectorEndpoint
	var row bpf.DirectorService
	entries := m.engine.Services.Iterate()
	for entries.Next(&key, &row) {
		out[key] = row
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("list the services: %w", err)
	}
	return out, nil
}

// newID finds a row of counters for a new service, and clears it.
func (m *Maps) newID(k Key) (uint32, error) {
	delete(m.ids, k)                  // somebody else may have deleted the row
	taken := map[uint32]bool{0: true} // 0 counts what is nobody's
	for _, id := range m.ids {
		taken[id] = true
	}
	id := uint32(0)
	for taken[id] {
		id++
	}
	if err := m.clearCounters(id); err != nil {
		return 0, err
	}
	m.ids[k] = id
	return id, nil
}

// keyTo gives the kernel's form of a key: IPv4 addresses are mapped, and what
// is in wire order on the wire is in wire order here.
func keyTo(k Key) bpf.DirectorEndpoint {
	out := bpf.DirectorEndpoint{Protocol: k.Proto}
	addr := k.Addr.Addr().As16()
	for i := range out.Address {
		out.Address[i] = binary.NativeEndian.Uint32(addr[4*i:])
	}
	port := binary.BigEndian.AppendUint16(nil, k.Addr.Port())
	out.Port = binary.NativeEndian.Uint16(port)
	return out
}

func keyFrom(k bpf.DirectorEndpoint) Key {
	var addr []byte
	for _, word := range k.Address {
		addr = binary.NativeEndian.AppendUint32(addr, word)
	}
	port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, k.Port))
	ip, _ := netip.AddrFromSlice(addr) // 16 bytes are an address
	return Key{Addr: netip.AddrPortFrom(ip.Unmap(), port), Proto: k.Protocol}
}
