// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

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
			Shed:    row.Shed,
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
	row.Shed, row.Absence = s.Shed, m.absence
	if row.Page[row.Current&1] != slot {
		row.Current = 1 - row.Current&1
		row.Page[row.Current] = slot
		row.Salt[row.Current] = salt(s.Page, row.Page[1-row.Current], row.Salt[1-row.Current])
	}
	if err := m.engine.Services.Put(keyTo(k), row); err != nil {
		return fmt.Errorf("put service %s: %w", k.Addr, err)
	}
	return m.buryNow()
}

// salt is what a page's cookies are told from another's by: its digest, for then
// all directors of a cluster agree. The kernel needs the former page's to differ
// in bits 19 to 31 (bpf/include/cookie.h); once in 8192 times they do not.
func salt(page PageID, former, other uint32) uint32 {
	const bits = 19
	s := uint32(page)
	if former != 0 && (s^other)>>bits == 0 {
		return ^s
	}
	return s
}

// DeleteService takes a row away; it is no error if there is none.
func (m *Maps) DeleteService(k Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := deleteRow(m.engine.Services, keyTo(k)); err != nil {
		return fmt.Errorf("delete service %s: %w", k.Addr, err)
	}
	if err := m.releaseID(k); err != nil {
		return err
	}
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
