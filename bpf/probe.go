// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// loopback is where the packets of this machine to its own addresses leave.
const loopback = "lo"

// errNoProbe is why nothing is attached for checks.
var errNoProbe = fmt.Errorf("this build has no program for it: %w", errors.ErrUnsupported)

// probeProgram sends the packets of checks the way of the data; nil: there is
// none in this build.
func (e *Engine) probeProgram() *ebpf.Program { return nil }

func probeHook(p *ebpf.Program) hook {
	return hook{
		program: p, tcx: ebpf.AttachTCXEgress, parent: netlink.HANDLE_MIN_EGRESS,
		filter: "maitred_probe", link: kindProbe, mark: kindProbeClsact,
	}
}

// AttachProbe puts the program that sends checks the way of the data on the
// loopback interface, in one atomic step where an older one runs there.
func (e *Engine) AttachProbe() error {
	err := errNoProbe
	if p := e.probeProgram(); p != nil {
		err = e.attachProbe(p)
	}
	if err != nil {
		return fmt.Errorf("attach the program for checks to %s: %w", loopback, err)
	}
	return nil
}

func (e *Engine) attachProbe(p *ebpf.Program) error {
	iface, err := netlink.LinkByName(loopback)
	if err != nil {
		return err
	}
	return e.attachTC(iface, probeHook(p))
}

// DetachProbe takes it off. It is no error if it is not there.
func (e *Engine) DetachProbe() error {
	if err := e.detachTC(loopback, probeHook(e.probeProgram())); err != nil {
		return fmt.Errorf("detach the program for checks from %s: %w", loopback, err)
	}
	return nil
}

// ProbeAttached tells whether that program of this build is there.
func (e *Engine) ProbeAttached() (bool, error) {
	p := e.probeProgram()
	if p == nil {
		return false, nil
	}
	iface, err := netlink.LinkByName(loopback)
	if err != nil {
		return false, fmt.Errorf("find interface %s: %w", loopback, err)
	}
	return e.runningTC(iface, probeHook(p)), nil
}
