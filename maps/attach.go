// SPDX-License-Identifier: Apache-2.0

package maps

import "github.com/maitred-lb/maitred/bpf"

// Attachment is the sorry engine on one interface; see bpf.Attachment.
type Attachment = bpf.Attachment

// AttachMode says where on an interface the engine sits; see bpf.AttachMode.
type AttachMode = bpf.AttachMode

// The modes of bpf.
const (
	AttachAuto = bpf.AttachAuto
	AttachXDP  = bpf.AttachXDP
	AttachTC   = bpf.AttachTC
)

// Attach puts the engine on an interface; programs of another build that run
// there are replaced without losing a packet.
func (m *Maps) Attach(name string, mode AttachMode) (Attachment, error) {
	return m.engine.Attach(name, mode)
}

// Detach takes the engine off an interface; it is no error if it is not there.
func (m *Maps) Detach(name string) error { return m.engine.Detach(name) }

// Attached lists where the engine of this build is.
func (m *Maps) Attached() ([]Attachment, error) { return m.engine.Attached() }
