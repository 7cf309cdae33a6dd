// SPDX-License-Identifier: Apache-2.0

package maps

import "errors"

// AttachProbe puts the program of checks that take the way of the data on the
// loopback interface.
func (m *Maps) AttachProbe() error { return errors.ErrUnsupported }

// DetachProbe takes it off.
func (m *Maps) DetachProbe() error { return errors.ErrUnsupported }

// ProbeAttached tells whether it is there.
func (m *Maps) ProbeAttached() (bool, error) { return false, errors.ErrUnsupported }
