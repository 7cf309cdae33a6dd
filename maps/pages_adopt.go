// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"

	"github.com/maitred-lb/maitred/bpf"
)

// adoptPages finds out which page is in which slot, and frees what is of no
// page: a process that ended in the midst of things has left it.
func (m *Maps) adoptPages() error {
	index, err := m.pageIndex()
	if err != nil {
		return err
	}
	for slot, entry := range index {
		if entry.Of == 0 {
			m.slots[PageID(entry.Digest)] = slot
		}
	}
	for slot, entry := range index {
		switch main, ok := index[entry.Of]; {
		case entry.Of == 0:
		case entry.Of == ofAll:
			m.common[PageID(entry.Digest)] = slot
		case ok && main.Of == 0:
			m.variants[entry.Of] = append(m.variants[entry.Of], slot)
		default:
			if err := m.freeSlot(slot); err != nil {
				return err
			}
		}
	}
	return m.adoptRows()
}

func (m *Maps) pageIndex() (map[uint32]bpf.DirectorPageEntry, error) {
	index := map[uint32]bpf.DirectorPageEntry{}
	var slot uint32
	var entry bpf.DirectorPageEntry
	entries := m.engine.PageIndex.Iterate()
	for entries.Next(&slot, &entry) {
		index[slot] = entry
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("list the pages: %w", err)
	}
	return index, nil
}
