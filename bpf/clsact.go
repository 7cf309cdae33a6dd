// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Before Linux 6.6 there is no link for tc: a filter of the clsact qdisc holds
// the program, and lives until somebody takes it away.
const (
	filterPriority = 1      // before what others have
	filterHandle   = 0x6d74 // nobody else's: of one priority the newest comes first
)

func (e *Engine) attachClsact(iface netlink.Link, h hook) error {
	attrs := iface.Attrs()
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: attrs.Index,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add a clsact qdisc: %w", err)
	}
	// First the mark: a filter without one would be nobody's after a crash.
	if err := repin(h.program, e.pin(attrs.Name, h.mark)); err != nil {
		return err
	}
	filter := clsactFilter(attrs.Index, h)
	filter.Fd = h.program.FD()
	if err := netlink.FilterReplace(filter); err != nil {
		return fmt.Errorf("put a tc filter: %w", err)
	}
	return nil
}

// detachClsact takes away the filter and leaves the qdisc, since others may
// have filters there, or be about to.
func (e *Engine) detachClsact(name string, h hook) error {
	path := e.pin(name, h.mark)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if iface, err := netlink.LinkByName(name); err == nil && clsactProgram(iface, h) != 0 {
		if err := netlink.FilterDel(clsactFilter(iface.Attrs().Index, h)); err != nil {
			return fmt.Errorf("delete a tc filter: %w", err)
		}
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("unpin a program: %w", err)
	}
	return nil
}

func clsactRunning(iface netlink.Link, h hook) bool {
	id := clsactProgram(iface, h)
	return id != 0 && id == int(programID(h.program))
}

// clsactProgram returns the identity of the program that our filter runs, or 0.
func clsactProgram(iface netlink.Link, h hook) int {
	filters, err := netlink.FilterList(iface, h.parent)
	if err != nil {
		return 0
	}
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Name == h.filter && b.Priority == filterPriority && b.Handle == filterHandle {
			return b.Id
		}
	}
	return 0
}

func clsactFilter(index int, h hook) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index,
			Parent:    h.parent,
			Handle:    filterHandle,
			Protocol:  unix.ETH_P_ALL,
			Priority:  filterPriority,
		},
		Name:         h.filter,
		DirectAction: true,
	}
}
