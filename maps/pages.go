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

// Pages lists the pages that are in the kernel and not deleted, in no order
// that means anything.
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

// PutPage brings a page into the kernel. A page that is there already is not
// written again: the same digest means the same bytes.
func (m *Maps) PutPage(p Page) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.slots[p.ID]; ok {
		delete(m.doomed, p.ID)
		return nil
	}
	content := &bpf.DirectorPage{
		Digest: uint64(p.ID),
		Length: uint32(len(p.Response)),
		Head:   uint32(p.Head),
		Speech: bpf.DirectorSpeech(p.Speech),
		Burst:  uint32(max(1, p.Burst)),
	}
	if p.ID == 0 || len(p.Response) == 0 || len(p.Response) > maxPage || p.Head > len(p.Response) {
		return fmt.Errorf("page %x: %d bytes with a header of %d: 1 to %d are possible", p.ID, len(p.Response), p.Head, maxPage)
	}
	copy(content.Bytes[:], p.Response)
	copy(content.Sums[:], p.Sums)
	slot, err := m.freeSlot()
	if err != nil {
		return err
	}
	inner, err := m.engine.NewPage(content)
	if err != nil {
		return err
	}
	defer inner.Close()
	if err := m.engine.Pages.Put(slot, inner); err != nil {
		return fmt.Errorf("put page %x in slot %d: %w", p.ID, slot, err)
	}
	// Last, so that a page is never said to be where none is.
	entry := bpf.DirectorPageEntry{Digest: content.Digest, Length: content.Length, Head: content.Head}
	if err := m.engine.PageIndex.Put(slot, entry); err != nil {
		return fmt.Errorf("note page %x in slot %d: %w", p.ID, slot, err)
	}
	m.slots[p.ID] = slot
	return nil
}

// maxPage is PAGE_MAX of bpf/include/types.h.
const maxPage = 65534

// DeletePage takes a page away. One that is still the former page of some row
// serves the exchanges that began on it until that row changes again.
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
		if err := m.engine.PageIndex.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget page %x in slot %d: %w", id, slot, err)
		}
		if err := m.engine.Pages.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("free page slot %d: %w", slot, err)
		}
		delete(m.slots, id)
		delete(m.doomed, id)
	}
	return nil
}

func (m *Maps) freeSlot() (uint32, error) {
	taken := map[uint32]bool{0: true} // slot 0 means no page
	for _, slot := range m.slots {
		taken[slot] = true
	}
	for slot := range m.engine.Pages.MaxEntries() {
		if !taken[slot] {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("%w: %d are the most", ErrNoSlot, len(m.slots))
}
