// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// hook is a place of tc's on an interface, and the program that sits there before
// all others: any of them may end the packet's way.
type hook struct {
	program *ebpf.Program
	tcx     ebpf.AttachType
	parent  uint32 // of the filter, before Linux 6.6
	filter  string // its name
	link    string // kinds of pins: of the link, and
	mark    string // of the filter
}

func (e *Engine) ingress() hook {
	return hook{
		program: e.MaitredTc, tcx: ebpf.AttachTCXIngress, parent: netlink.HANDLE_MIN_INGRESS,
		filter: "maitred_tc", link: kindTCX, mark: kindClsact,
	}
}

func (e *Engine) attachTC(iface netlink.Link, h hook) error {
	name, index := iface.Attrs().Name, iface.Attrs().Index
	err := e.attachLink(name, h.link, h.program, index, func() (link.Link, error) {
		return link.AttachTCX(link.TCXOptions{
			Program: h.program, Interface: index, Attach: h.tcx, Anchor: link.Head(),
		})
	})
	if errors.Is(err, ebpf.ErrNotSupported) { // before Linux 6.6
		return e.attachClsact(iface, h)
	}
	return err
}

func (e *Engine) detachTC(name string, h hook) error {
	return errors.Join(e.unpinLink(name, h.link), e.detachClsact(name, h))
}

func (e *Engine) runningTC(iface netlink.Link, h hook) bool {
	attrs := iface.Attrs()
	return e.running(attrs.Name, h.link, h.program, attrs.Index) || clsactRunning(iface, h)
}
