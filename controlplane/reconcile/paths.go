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

// Path is the way to a real server, as the kernel's routes have it.
type Path struct {
	Interface string
	Index     int        // of the interface
	Gateway   netip.Addr // next hop: a router, or the server itself
	Source    netip.Addr // this machine's address on the way
}

// Link is an interface.
type Link struct {
	Index     int
	Ethernet  bool
	Loopback  bool
	Transmits Support // what XDP redirects to it
}

// Support is what the kernel tells of a feature.
type Support uint8

// The kernel may not tell, have it, or not have it.
const (
	Unknown Support = iota
	Yes
	No
)

// Router knows the routes and the neighbours of this machine; Interfaces is one.
type Router interface {
	// Path finds the way to an address, but for the interface's name. ErrNoPath
	// tells that there is none.
	Path(to netip.Addr) (Path, error)
	// Use makes the kernel find out the MAC address of a path's next hop, or
	// confirm it.
	Use(Path) error
}

// LinkTable is this machine's interfaces; Interfaces is one.
type LinkTable interface {
	// Links reads them by name, without what XDP can do there.
	Links() (map[string]Link, error)
	// Transmits asks whether an interface sends what XDP redirects to it.
	Transmits(index int) Support
}

// ErrNoPath is returned for an address that no route leads to.
var ErrNoPath = errors.New("no route")

// Survey finds the ways to the addresses, and the interfaces that they go by or
// that are named. An address without a way is absent; one whose way could not be
// looked up keeps that of known, and the error tells of it.
func Survey(r Router, l LinkTable, addrs []netip.Addr, names []string, known map[netip.Addr]Path) (map[netip.Addr]Path, map[string]Link, error) {
	all, err := l.Links()
	if err != nil {
		return known, nil, err
	}
	byIndex := map[int]string{}
	for name, link := range all {
		byIndex[link.Index] = name
	}
	var errs []error
	paths, links := make(map[netip.Addr]Path, len(addrs)), map[string]Link{}
	for _, a := range addrs {
		p, err := r.Path(a)
		if err != nil && !errors.Is(err, ErrNoPath) {
			errs = append(errs, err)
			p = known[a]
		}
		if p.Interface = byIndex[p.Index]; p.Interface != "" {
			paths[a] = p
			names = append(names, p.Interface)
		}
	}
	for _, name := range names {
		if link, there := all[name]; there && links[name] == (Link{}) {
			link.Transmits = l.Transmits(link.Index)
			links[name] = link
		}
	}
	return paths, links, errors.Join(errs...)
}

// Path implements Router.
func (k *Interfaces) Path(to netip.Addr) (Path, error) {
	routes, err := k.handle.RouteGet(to.AsSlice())
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return Path{}, fmt.Errorf("%w to %s: %w", ErrNoPath, to, err) // or one that refuses
	case err != nil:
		return Path{}, fmt.Errorf("look up the route to %s: %w", to, err)
	case len(routes) == 0:
		return Path{}, fmt.Errorf("%w to %s", ErrNoPath, to)
	}
	p := Path{Index: routes[0].LinkIndex, Gateway: to}
	if via := nextHop(routes[0]); via.IsValid() {
		p.Gateway = via
	}
	if src, ok := netip.AddrFromSlice(routes[0].Src); ok {
		p.Source = src.Unmap()
	}
	return p, nil
}

// nextHop is the router of a route, of whichever family.
func nextHop(r netlink.Route) netip.Addr {
	via, ok := netip.AddrFromSlice(r.Gw)
	if v, of := r.Via.(*netlink.Via); of && !ok {
		via, _ = netip.AddrFromSlice(v.Addr)
	}
	return via.Unmap()
}

// Use implements Router (include/uapi/linux/neighbour.h, NTF_USE).
func (k *Interfaces) Use(p Path) error {
	family := unix.AF_INET
	if p.Gateway.Is6() {
		family = unix.AF_INET6
	}
	err := k.handle.NeighSet(&netlink.Neigh{
		LinkIndex: p.Index, Family: family, IP: p.Gateway.AsSlice(), Flags: netlink.NTF_USE,
	})
	if err != nil {
		return fmt.Errorf("resolve %s on %s: %w", p.Gateway, p.Interface, err)
	}
	return nil
}

// Links implements LinkTable.
func (k *Interfaces) Links() (map[string]Link, error) {
	list, err := patiently(k.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	links := make(map[string]Link, len(list))
	for _, l := range list {
		at := l.Attrs()
		links[at.Name] = Link{
			Index: at.Index, Loopback: at.Flags&net.FlagLoopback != 0, Ethernet: at.EncapType == "ether",
		}
	}
	return links, nil
}

// Transmits implements LinkTable.
func (k *Interfaces) Transmits(index int) Support {
	switch features, ok := XDPFeatures(index); {
	case !ok:
		return Unknown
	case features&XDPTransmits != 0:
		return Yes
	}
	return No
}
