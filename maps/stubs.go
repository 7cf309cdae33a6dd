// SPDX-License-Identifier: Apache-2.0

package maps

import "errors"

// ErrServerInUse is returned for the deletion of a server that a flow or a ring
// still refers to.
var ErrServerInUse = errors.New("the server is in use")

// Servers reads the servers' rows.
func (m *Maps) Servers() (map[ServerID]Server, error) { return nil, errors.ErrUnsupported }

// PutServer writes a server's row.
func (m *Maps) PutServer(ServerID, Server) error { return errors.ErrUnsupported }

// DeleteServer frees a server's row; it is no error if there is none.
func (m *Maps) DeleteServer(ServerID) error { return errors.ErrUnsupported }

// Forwards reads how each service is forwarded.
func (m *Maps) Forwards() (map[Key]Forward, error) { return nil, errors.ErrUnsupported }

// PutForward says how a service is forwarded.
func (m *Maps) PutForward(Key, Forward) error { return errors.ErrUnsupported }

// DeleteForward ends the forwarding of a service.
func (m *Maps) DeleteForward(Key) error { return errors.ErrUnsupported }

// Backs reads which services have flows to an address and port of a server.
func (m *Maps) Backs() (map[Key][]Key, error) { return nil, errors.ErrUnsupported }

// PutBack says which services have flows to an address and port of a server.
func (m *Maps) PutBack(server Key, services []Key) error { return errors.ErrUnsupported }

// DeleteBack takes such a row away.
func (m *Maps) DeleteBack(server Key) error { return errors.ErrUnsupported }

// Forwarding reads the settings of forwarding.
func (m *Maps) Forwarding() (Setting, error) { return Setting{}, errors.ErrUnsupported }

// SetForwarding writes the settings of forwarding.
func (m *Maps) SetForwarding(Setting) error { return errors.ErrUnsupported }

// Devices reads which interfaces send what XDP redirects to them, by index.
func (m *Maps) Devices() (map[int]bool, error) { return nil, errors.ErrUnsupported }

// PutDevice notes whether an interface sends what XDP redirects to it.
func (m *Maps) PutDevice(index int, xdp bool) error { return errors.ErrUnsupported }

// DeleteDevice forgets an interface.
func (m *Maps) DeleteDevice(index int) error { return errors.ErrUnsupported }

// Marks reads which server the packets of a mark go to.
func (m *Maps) Marks() (map[uint32]ServerID, error) { return nil, errors.ErrUnsupported }

// PutMark says which server the packets of a mark go to.
func (m *Maps) PutMark(mark uint32, id ServerID) error { return errors.ErrUnsupported }

// DeleteMark takes a mark away.
func (m *Maps) DeleteMark(mark uint32) error { return errors.ErrUnsupported }

// Flows lists the flows.
func (m *Maps) Flows(yield func(Flow) bool) error { return errors.ErrUnsupported }

// Sweep removes flows that are over.
func (m *Maps) Sweep() (Census, error) { return Census{}, errors.ErrUnsupported }

// Tallies reads what each server got and gave.
func (m *Maps) Tallies() (map[ServerID]Tally, error) { return nil, errors.ErrUnsupported }

// AttachProbe puts the program of checks that take the way of the data on the
// loopback interface.
func (m *Maps) AttachProbe() error { return errors.ErrUnsupported }

// DetachProbe takes it off.
func (m *Maps) DetachProbe() error { return errors.ErrUnsupported }

// ProbeAttached tells whether it is there.
func (m *Maps) ProbeAttached() (bool, error) { return false, errors.ErrUnsupported }
