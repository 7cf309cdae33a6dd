// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// End is one end of a veth pair.
type End struct {
	In    *Namespace
	Name  string
	MAC   net.HardwareAddr // nil: the kernel picks one
	Addrs []netip.Prefix
}

// Veth connects two namespaces and sets both ends up. An mtu of zero is 1500.
func Veth(a, b End, mtu int) error {
	if mtu == 0 {
		mtu = 1500
	}
	err := a.In.handle.LinkAdd(&netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: a.Name, MTU: mtu, HardwareAddr: a.MAC, TxQLen: -1},
		PeerName:         b.Name,
		PeerHardwareAddr: b.MAC,
		PeerNamespace:    netlink.NsFd(int(b.In.ns)),
		PeerTxQLen:       -1,
	})
	if err != nil {
		return fmt.Errorf("add veth %s in %s to %s in %s: %w", a.Name, a.In.name, b.Name, b.In.name, err)
	}
	for _, end := range []End{a, b} {
		if err := end.In.Up(end.Name); err != nil {
			return err
		}
		for _, addr := range end.Addrs {
			if err := end.In.AddAddr(end.Name, addr); err != nil {
				return err
			}
		}
	}
	return errors.Join(a.In.awaitCarrier(a.Name), b.In.awaitCarrier(b.Name))
}

// awaitCarrier waits until the kernel's link watch has seen both ends up: it
// sets the state and, in the same critical section, replaces the queue that
// loses what is sent (net/core/link_watch.c).
func (n *Namespace) awaitCarrier(dev string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		link, err := n.link(dev)
		if err != nil {
			return err
		}
		if a := link.Attrs(); a.OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s in %s is %v, not up", dev, n.name, link.Attrs().OperState)
		}
	}
}

// VLAN adds an 802.1Q device named parent.id on parent and sets it up.
func (n *Namespace) VLAN(parent string, id int) error {
	link, err := n.link(parent)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s.%d", parent, id)
	attrs := netlink.LinkAttrs{Name: name, ParentIndex: link.Attrs().Index}
	if err := n.handle.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id}); err != nil {
		return fmt.Errorf("add VLAN %s in %s: %w", name, n.name, err)
	}
	return n.Up(name)
}

// Up sets a device up.
func (n *Namespace) Up(dev string) error {
	link, err := n.link(dev)
	if err != nil {
		return err
	}
	if err := n.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up in %s: %w", dev, n.name, err)
	}
	return nil
}

// Down sets a device down.
func (n *Namespace) Down(dev string) error {
	link, err := n.link(dev)
	if err != nil {
		return err
	}
	if err := n.handle.LinkSetDown(link); err != nil {
		return fmt.Errorf("set %s down in %s: %w", dev, n.name, err)
	}
	return nil
}

// Delete removes a device, and with one end of a veth pair the other.
func (n *Namespace) Delete(dev string) error {
	link, err := n.link(dev)
	if err != nil {
		return err
	}
	if err := n.handle.LinkDel(link); err != nil {
		return fmt.Errorf("delete %s in %s: %w", dev, n.name, err)
	}
	return nil
}

// MAC returns the hardware address of a device.
func (n *Namespace) MAC(dev string) (net.HardwareAddr, error) {
	link, err := n.link(dev)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}

// AddAddr gives a device an address, without duplicate address detection.
func (n *Namespace) AddAddr(dev string, prefix netip.Prefix) error {
	link, err := n.link(dev)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: ipnet(prefix)}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := n.handle.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("add address %v to %s in %s: %w", prefix, dev, n.name, err)
	}
	return nil
}

// DeleteAddr takes an address from a device.
func (n *Namespace) DeleteAddr(dev string, prefix netip.Prefix) error {
	link, err := n.link(dev)
	if err != nil {
		return err
	}
	if err := n.handle.AddrDel(link, &netlink.Addr{IPNet: ipnet(prefix)}); err != nil {
		return fmt.Errorf("delete address %v from %s in %s: %w", prefix, dev, n.name, err)
	}
	return nil
}

// AddRoute routes dst by a gateway; a prefix of length zero is the default route.
func (n *Namespace) AddRoute(dst netip.Prefix, via netip.Addr) error {
	route := &netlink.Route{Dst: ipnet(dst), Gw: via.AsSlice()}
	if err := n.handle.RouteReplace(route); err != nil {
		return fmt.Errorf("add route to %v via %v in %s: %w", dst, via, n.name, err)
	}
	return nil
}

// Prohibit has a route refuse all that goes to dst, with an ICMP error that says
// "administratively prohibited".
func (n *Namespace) Prohibit(dst netip.Prefix) error {
	if err := n.handle.RouteReplace(&netlink.Route{Dst: ipnet(dst), Type: unix.RTN_PROHIBIT}); err != nil {
		return fmt.Errorf("prohibit %v in %s: %w", dst, n.name, err)
	}
	return nil
}

// AddDefaultRoute routes all that is not local by a gateway.
func (n *Namespace) AddDefaultRoute(via netip.Addr) error {
	any4, any6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	if via.Is4() {
		return n.AddRoute(netip.PrefixFrom(any4, 0), via)
	}
	return n.AddRoute(netip.PrefixFrom(any6, 0), via)
}

// Sysctl writes a value below /proc/sys/net of the namespace. The key is a
// path, such as ipv4/ip_forward: device names may have dots in them.
func (n *Namespace) Sysctl(key, value string) error {
	path := filepath.Join("/proc/sys/net", key)
	err := n.Do(func() error { return os.WriteFile(path, []byte(value), 0o644) })
	if err != nil {
		return fmt.Errorf("set %s to %s in %s: %w", key, value, n.name, err)
	}
	return nil
}

// Forward makes the namespace a router for both IP versions.
func (n *Namespace) Forward() error {
	return errors.Join(n.Sysctl("ipv4/ip_forward", "1"), n.Sysctl("ipv6/conf/all/forwarding", "1"))
}

func (n *Namespace) link(dev string) (netlink.Link, error) {
	link, err := n.handle.LinkByName(dev)
	if err != nil {
		var gone netlink.LinkNotFoundError
		if errors.As(err, &gone) {
			err = errors.Join(err, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("find %s in %s: %w", dev, n.name, err)
	}
	return link, nil
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
