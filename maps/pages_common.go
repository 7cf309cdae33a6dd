// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"math"

	"github.com/maitred-lb/maitred/bpf"
)

// ofAll stands in page_index for the slot of the page that a variant is of, where
// it is of all that have it.
const ofAll = math.MaxUint32

// isCommon tells whether a variant is the same in all pages: what is said to TLS.
// Each would cost as much as a page.
func (v Variant) isCommon() bool { return v.Opening == OpeningTLS }

// putCommon puts those variants of a page that others may have too, unless they
// are there. Only what is there is noted as such: a page that is found may have it.
func (m *Maps) putCommon(p Page) error {
	for _, v := range p.Variants {
		if _, ok := m.common[v.Page.ID]; ok || !v.isCommon() {
			continue
		}
		slots, err := m.freeSlots(1)
		if err != nil {
			return err
		}
		slot, content := slots[0], v.Page.content(nil)
		m.common[v.Page.ID] = slot
		if err = m.putSlot(slot, content, slot); err == nil {
			err = m.note(slot, content, ofAll)
		}
		if err != nil {
			delete(m.common, v.Page.ID)
			return fmt.Errorf("variant %x: %w", v.Page.ID, errors.Join(err, m.freeSlot(slot)))
		}
	}
	return nil
}

// freeCommon frees what all pages share when there is no page any more.
func (m *Maps) freeCommon() error {
	if len(m.slots) > 0 {
		return nil
	}
	for id, slot := range m.common {
		if err := m.note(slot, &bpf.DirectorPage{}, slot); err != nil {
			return err
		}
		if err := m.freeSlot(slot); err != nil {
			return err
		}
		delete(m.common, id)
	}
	return nil
}
