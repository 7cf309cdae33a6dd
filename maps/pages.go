// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// ErrPageInUse is returned for the deletion of a page that a row still answers
// new exchanges with.
var ErrPageInUse = errors.New("the page is in use")

// ErrNoSlot is returned for a page too many.
var ErrNoSlot = errors.New("no page slot is free")

// Pages lists the pages that are in the kernel and not deleted, without their
// variants, in no order that means anything.
func (m *Maps) Pages() ([]PageID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []PageID
	for _, id := range slices.Sorted(maps.Keys(m.slots)) {
		if !m.doomed[id] {
			out = append(out, id)
		}
	}
	return out, nil
}

// PutPage brings a page and its variants into the kernel, all or none of them. A
// page that is there already is not written again: the same digest means the
// same bytes, and the same variants.
func (m *Maps) PutPage(p Page) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.slots[p.ID]; ok {
		delete(m.doomed, p.ID)
		return nil
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("page %x: %w", p.ID, err)
	}
	if err := m.putCommon(p); err != nil {
		return errors.Join(fmt.Errorf("put page %x: %w", p.ID, err), m.freeCommon())
	}
	others := p.distinct()
	slots, err := m.freeSlots(1 + len(others))
	if err != nil {
		return errors.Join(fmt.Errorf("put page %x: %w", p.ID, err), m.freeCommon())
	}
	main, slots := slots[0], slots[1:]
	if err := m.putSet(p, others, main, slots); err != nil {
		return errors.Join(fmt.Errorf("put page %x: %w", p.ID, err), m.freeSet(main, slots), m.freeCommon())
	}
	m.slots[p.ID] = main
	m.variants[main] = slots
	return nil
}

// putSet fills a page's slot and those of its variants. What is in a slot is noted
// before it is there, as part of the page in the slot main; and that, last of
// all, as a page. So a process that finds only some of it knows what to free.
func (m *Maps) putSet(p Page, others []Page, main uint32, slots []uint32) error {
	slotOf := maps.Clone(m.common)
	for i, v := range others {
		slotOf[v.ID] = slots[i]
		if err := m.putSlot(slots[i], v.content(nil), main); err != nil {
			return fmt.Errorf("variant %x: %w", v.ID, err)
		}
	}
	content := p.content(slotOf)
	if err := m.putSlot(main, content, main); err != nil {
		return err
	}
	return m.note(main, content, 0)
}

func (m *Maps) putSlot(slot uint32, content *bpf.DirectorPage, of uint32) error {
	if err := m.note(slot, content, of); err != nil {
		return err
	}
	inner, err := m.engine.NewPage(content)
	if err != nil {
		return err
	}
	defer inner.Close()
	if err := m.engine.Pages.Put(slot, inner); err != nil {
		return fmt.Errorf("fill slot %d: %w", slot, err)
	}
	return nil
}

func (m *Maps) note(slot uint32, content *bpf.DirectorPage, of uint32) error {
	entry := bpf.DirectorPageEntry{Digest: content.Digest, Length: content.Length, Head: content.Head, Of: of}
	if err := m.engine.PageIndex.Put(slot, entry); err != nil {
		return fmt.Errorf("note what is in slot %d: %w", slot, err)
	}
	return nil
}

// DeletePage takes a page and its variants away. One that is still the former
// page of some row serves the exchanges that began on it until that row changes
// again.
func (m *Maps) DeletePage(id PageID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, ok := m.slots[id]
	if !ok {
		return nil
	}
	rows, err := m.rows()
	if err != nil {
		return err
	}
	for key, row := range rows {
		if row.Page[row.Current&1] == slot {
			return fmt.Errorf("delete page %x: %w by %s", id, ErrPageInUse, keyFrom(key).Addr)
		}
	}
	m.doomed[id] = true
	return m.bury(rows)
}

// bury frees the slots of deleted pages that no row points to any more.
func (m *Maps) bury(rows map[bpf.DirectorEndpoint]bpf.DirectorService) error {
	used := map[uint32]bool{}
	for _, row := range rows {
		used[row.Page[0]], used[row.Page[1]] = true, true
	}
	for id := range m.doomed {
		slot := m.slots[id]
		if used[slot] {
			continue
		}
		if err := m.freeSet(slot, m.variants[slot]); err != nil {
			return fmt.Errorf("free page %x: %w", id, err)
		}
		delete(m.slots, id)
		delete(m.variants, slot)
		delete(m.doomed, id)
	}
	return m.freeCommon()
}

// freeSet frees a page's slot and those of its variants: putSet backwards. What
// is free already is no error.
func (m *Maps) freeSet(main uint32, variants []uint32) error {
	err := m.note(main, &bpf.DirectorPage{}, main)
	for _, slot := range append([]uint32{main}, variants...) {
		err = errors.Join(err, m.freeSlot(slot))
	}
	return err
}

func (m *Maps) freeSlot(slot uint32) error {
	if err := m.engine.Pages.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("free slot %d: %w", slot, err)
	}
	if err := m.engine.PageIndex.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget what was in slot %d: %w", slot, err)
	}
	return nil
}

// freeSlots finds n slots that are nobody's.
func (m *Maps) freeSlots(n int) ([]uint32, error) {
	taken := map[uint32]bool{0: true} // slot 0 means no page
	for _, slot := range m.slots {
		taken[slot] = true
		for _, slot := range m.variants[slot] {
			taken[slot] = true
		}
	}
	for _, slot := range m.common {
		taken[slot] = true
	}
	var free []uint32
	most := m.engine.Pages.MaxEntries()
	for slot := range most {
		if !taken[slot] {
			free = append(free, slot)
		}
		if len(free) == n {
			return free, nil
		}
	}
	return nil, fmt.Errorf("%w: %d are needed, %d of %d are left", ErrNoSlot, n, len(free), most-1)
}
