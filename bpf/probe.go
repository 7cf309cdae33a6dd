// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// loopback is where the packets of this machine to its own addresses leave.
const loopback = "lo"

func (e *Engine) probe() hook {
	return hook{
		program: e.MaitredProbe, tcx: ebpf.AttachTCXEgress, parent: netlink.HANDLE_MIN_EGRESS,
		filter: "maitred_probe", link: kindProbe, mark: kindProbeClsact,
	}
}

// AttachProbe puts the program that sends checks the way of the data on the
// loopback interface, in one atomic step where an older one runs there.
func (e *Engine) AttachProbe() error {
	iface, err := netlink.LinkByName(loopback)
	if err == nil {
		err = e.attachTC(iface, e.probe())
	}
	if err != nil {
		return fmt.Errorf("attach the program for checks to %s: %w", loopback, err)
	}
	return nil
}

// DetachProbe takes it off. It is no error if it is not there.
func (e *Engine) DetachProbe() error {
	if err := e.detachTC(loopback, e.probe()); err != nil {
		return fmt.Errorf("detach the program for checks from %s: %w", loopback, err)
	}
	return nil
}

// ProbeAttached tells whether that program of this build is there.
func (e *Engine) ProbeAttached() (bool, error) {
	iface, err := netlink.LinkByName(loopback)
	if err != nil {
		return false, fmt.Errorf("find interface %s: %w", loopback, err)
	}
	return e.runningTC(iface, e.probe()), nil
}
