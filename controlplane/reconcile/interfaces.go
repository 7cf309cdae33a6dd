// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interfaces are the kernel's interfaces, by route netlink, in the network
// namespace of the thread that opened them. They are an AddressTable.
type Interfaces struct{ handle *netlink.Handle }

// OpenInterfaces connects to the kernel.
func OpenInterfaces() (*Interfaces, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route netlink: %w", err)
	}
	return &Interfaces{handle}, nil
}

// Close gives the descriptor back; the addresses stay.
func (k *Interfaces) Close() error {
	k.handle.Close()
	return nil
}

// Addresses implements AddressTable.
func (k *Interfaces) Addresses() ([]Address, error) {
	links, err := patiently(k.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	list, err := patiently(func() ([]netlink.Addr, error) { return k.handle.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var out []Address
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			out = append(out, Address{Interface: names[a.LinkIndex], Addr: ip.Unmap()})
		}
	}
	return out, nil
}

// AddAddress implements AddressTable: a host address, without a route of its own
// and without duplicate detection, which would keep an IPv6 address silent for a
// second.
func (k *Interfaces) AddAddress(a Address) error {
	link, err := k.handle.LinkByName(a.Interface)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", a.Interface, err)
	}
	addr := hostAddr(a.Addr)
	addr.Flags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE
	if err := k.handle.AddrAdd(link, addr); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// Running implements Announcer: what is up and has a carrier.
func (k *Interfaces) Running() (map[string]int, error) {
	links, err := patiently(k.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	running := map[string]int{}
	for _, l := range links {
		if up, carrier := linkFlags(l.Attrs()); up && carrier {
			running[l.Attrs().Name] = l.Attrs().Index
		}
	}
	return running, nil
}

func linkFlags(attrs *netlink.LinkAttrs) (up, carrier bool) {
	return attrs.RawFlags&unix.IFF_UP != 0, attrs.RawFlags&unix.IFF_RUNNING != 0
}

// Announce implements Announcer.
func (k *Interfaces) Announce(a Address) error {
	link, err := k.handle.LinkByName(a.Interface)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", a.Interface, err)
	}
	return announce(link.Attrs(), a.Addr)
}

// RemoveAddress implements AddressTable.
func (k *Interfaces) RemoveAddress(a Address) error {
	link, err := k.handle.LinkByName(a.Interface)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find interface %s: %w", a.Interface, err)
	}
	if err := k.handle.AddrDel(link, hostAddr(a.Addr)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return err
	}
	return nil
}

func hostAddr(a netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}}
}

// patiently repeats a listing that changes of the kernel's table have torn.
func patiently[T any](list func() ([]T, error)) ([]T, error) {
	const tries = 5
	var out []T
	var err error
	for range tries {
		out, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return out, err
}
