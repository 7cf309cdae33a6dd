// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
)

// attach sets the programs of the rig to work on these interfaces of a host, each
// of which may be redirected to: tc, and XDP if it is wanted.
func (r *rig) attach(t *testing.T, host *netlab.Namespace, xdp bool, names ...string) {
	r.wired = true
	t.Helper()
	err := host.Do(func() error {
		for _, name := range names {
			dev, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			put(t, r.Devices, uint32(dev.Attrs().Index), DirectorDevice{Xdp: 1})
			if err := addFilter(dev, r.MaitredTc, "maitred_tc"); err != nil {
				return fmt.Errorf("attach to %s: %w", name, err)
			}
			if !xdp {
				continue
			}
			l, err := link.AttachXDP(link.XDPOptions{Program: r.MaitredXdp, Interface: dev.Attrs().Index, Flags: link.XDPDriverMode})
			if err != nil {
				return fmt.Errorf("attach XDP to %s: %w", name, err)
			}
			t.Cleanup(func() { _ = l.Close() })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// addFilter puts a program at the ingress of an interface that has no filter yet.
func addFilter(dev netlink.Link, p *ebpf.Program, name string) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: dev.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(qdisc); err != nil {
		return err
	}
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: dev.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: p.FD(), Name: name, DirectAction: true,
	})
}

// spared leaves out half of the ways to combine what is yes or no where the machine
// is emulated, and to load the programs takes seconds. Any two (of four: any three)
// are still seen in all their combinations.
func spared(facts ...bool) bool {
	odd := false
	for _, fact := range facts {
		odd = odd != fact
	}
	return testing.Short() && odd
}
