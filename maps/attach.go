// SPDX-License-Identifier: Apache-2.0

package maps

import "github.com/maitred-lb/maitred/bpf"

// Attachment is the programs on one interface; see bpf.Attachment.
type Attachment = bpf.Attachment

// AttachMode says where on an interface the programs sit; see bpf.AttachMode.
type AttachMode = bpf.AttachMode

// The modes of bpf.
const (
	AttachAuto = bpf.AttachAuto
	AttachXDP  = bpf.AttachXDP
	AttachTC   = bpf.AttachTC
)

// Attach puts the programs on an interface; programs of another build that run
// there are replaced without losing a packet.
func (m *Maps) Attach(name string, mode AttachMode) (Attachment, error) {
	return m.engine.Attach(name, mode)
}

// Detach takes the programs off an interface; it is no error if it is not there.
func (m *Maps) Detach(name string) error { return m.engine.Detach(name) }

// Attached lists where the programs of this build are.
func (m *Maps) Attached() ([]Attachment, error) { return m.engine.Attached() }

// AttachProbe puts the program that sends checks the way of the data on the
// loopback interface.
func (m *Maps) AttachProbe() error { return m.engine.AttachProbe() }

// DetachProbe takes it off; it is no error if it is not there.
func (m *Maps) DetachProbe() error { return m.engine.DetachProbe() }

// ProbeAttached tells whether that of this build is there.
func (m *Maps) ProbeAttached() (bool, error) { return m.engine.ProbeAttached() }
