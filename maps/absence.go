// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"time"

	"github.com/maitred-lb/maitred/bpf"
)

// Absence says what the kernel does with the services once Beat is overdue.
type Absence uint8

// The absences, as enum absence of bpf/include/types.h has them.
const (
	AbsenceKeep  Absence = iota // what was decided last
	AbsencePass                 // whoever says sorry passes to forwarding
	AbsenceSorry                // whoever has a page answers with it
)

// SetAbsence says what the services do in an absence, those that are still to be
// put among them. It holds until it is set again, by whichever process.
func (m *Maps) SetAbsence(a Absence) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows, err := m.rows()
	if err != nil {
		return err
	}
	m.absence = bpf.DirectorAbsence(a)
	for key, row := range rows {
		if row.Absence == m.absence {
			continue
		}
		row.Absence = m.absence
		if err := m.engine.Services.Put(key, row); err != nil {
			return fmt.Errorf("set what service %s does in an absence: %w", keyFrom(key).Addr, err)
		}
	}
	return nil
}

// Beat tells the kernel that somebody is there, and will tell so again within this
// time: once it is over without, the services do what SetAbsence has said, until the
// next Beat. 0 ends that: nobody will, and it is no matter.
func (m *Maps) Beat(within time.Duration) error { return m.engine.Beat(within) }

// Absent tells whether a Beat is overdue.
func (m *Maps) Absent() (bool, error) { return m.engine.Absent() }
