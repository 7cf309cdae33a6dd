// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"maps"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// Errands implements reconcile.ErrandTable.
func (k *Kernel) Errands() (map[reconcile.Mark]reconcile.Errand, error) {
	return read(k, "read errands", func() map[reconcile.Mark]reconcile.Errand { return maps.Clone(k.ErrandTable) })
}

// PutErrand implements reconcile.ErrandTable.
func (k *Kernel) PutErrand(m reconcile.Mark, e reconcile.Errand) error {
	return k.change(func() error {
		k.ErrandTable[m] = e
		return nil
	}, "put errand %v", m)
}

// DeleteErrand implements reconcile.ErrandTable.
func (k *Kernel) DeleteErrand(m reconcile.Mark) error {
	return k.change(func() error {
		delete(k.ErrandTable, m)
		return nil
	}, "delete errand %v", m)
}
