// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/netlab"
)

// stage is a director between a client and the servers of one service:
//
//	client eth0 --- near director far --- eth0 server
//	       eth1 --- tc
//
// The client and the server drop and count what they get. Packets are put into
// near, or into tc, where maitred's tc program is: to the rest of the kernel the
// two are the same. maitred's XDP program is on none of them: the source calls it.
type stage struct {
	folder                   string // of the pins
	client, director, server *netlab.Namespace
	near, tc, far            int // indexes of the director's interfaces

	served *ebpf.Map // what the server got, and
	asked  *ebpf.Map // what the client got

	maps       *maps.Maps
	xdp        *ebpf.Program
	forwarding *ebpf.Map

	closers []io.Closer
}

// realServers is how many addresses the server has.
const realServers = 4

// The addresses of a stage. All clients are in the last 16 bits of one network.
var (
	vip4, vip6       = netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("2001:db8:100::10")
	clients4         = netip.MustParsePrefix("198.18.0.0/16")
	clients6         = netip.MustParsePrefix("2001:db8:c::/112")
	near4, near6     = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:1::1/64")
	client4, client6 = netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8:1::2/64")
	far4, far6       = netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("2001:db8:10::1/64")
)

func serverAddr(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:10::%x", 0x10+i))
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(0x10 + i)})
}

// MAC addresses: all interfaces of the director have the same, so that a frame is
// right for each.
var (
	directorMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	clientMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 2}
	serverMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 3}
)

// newStage builds the network, and opens maitred's tables with room for so many
// flows under a folder of the BPF file system.
func newStage(folder string, flows int) (s *stage, err error) {
	s = &stage{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("set the stage: %w", err), s.Close())
		}
	}()
	if err := s.build(); err != nil {
		return s, err
	}
	if s.served, err = s.count(s.server, "eth0"); err != nil {
		return s, err
	}
	if s.asked, err = s.count(s.client, "eth0"); err != nil {
		return s, err
	}
	return s, s.load(folder, flows)
}

func (s *stage) closeLater(c io.Closer) { s.closers = append(s.closers, c) }

// Close takes everything down.
func (s *stage) Close() error {
	var errs []error
	if s.maps != nil {
		errs = append(errs, s.director.Do(s.maps.Withdraw), s.maps.Close())
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i].Close())
	}
	return errors.Join(errs...)
}

func (s *stage) build() error {
	for name, n := range map[string]**netlab.Namespace{"client": &s.client, "director": &s.director, "server": &s.server} {
		made, err := netlab.New(name)
		if err != nil {
			return err
		}
		*n = made
		s.closeLater(made)
	}
	for _, l := range []struct {
		in, out netlab.End
		index   *int
	}{
		{netlab.End{In: s.director, Name: "near", MAC: directorMAC, Addrs: []netip.Prefix{near4, near6}},
			netlab.End{In: s.client, Name: "eth0", MAC: clientMAC, Addrs: []netip.Prefix{client4, client6}}, &s.near},
		{netlab.End{In: s.director, Name: "tc", MAC: directorMAC},
			netlab.End{In: s.client, Name: "eth1", MAC: clientMAC}, &s.tc},
		{netlab.End{In: s.director, Name: "far", MAC: directorMAC, Addrs: []netip.Prefix{far4, far6}},
			netlab.End{In: s.server, Name: "eth0", MAC: serverMAC}, &s.far},
	} {
		const mtu = 1600 // room for an outer header
		if err := netlab.Veth(l.in, l.out, mtu); err != nil {
			return err
		}
		index, err := indexOf(s.director, l.in.Name)
		if err != nil {
			return err
		}
		*l.index = index
	}
	return errors.Join(s.route(), s.director.Forward(),
		// What comes from an interface that has no address, as tc, is none of its own.
		s.director.Sysctl("ipv4/conf/all/accept_local", "1"))
}

// route has the director know everybody's MAC address, and hold the service
// addresses, which IPVS asks for.
func (s *stage) route() error {
	h := s.director.Netlink()
	neighbour := func(dev int, a netip.Addr, mac net.HardwareAddr) error {
		return h.NeighSet(&netlink.Neigh{LinkIndex: dev, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac})
	}
	errs := []error{
		neighbour(s.near, client4.Addr(), clientMAC), neighbour(s.near, client6.Addr(), clientMAC),
		s.director.AddRoute(clients4, client4.Addr()), s.director.AddRoute(clients6, client6.Addr()),
		s.director.AddAddr("lo", netip.PrefixFrom(vip4, 32)), s.director.AddAddr("lo", netip.PrefixFrom(vip6, 128)),
	}
	for i := range realServers {
		errs = append(errs, neighbour(s.far, serverAddr(i, false), serverMAC), neighbour(s.far, serverAddr(i, true), serverMAC))
	}
	return errors.Join(errs...)
}

// count has a device drop what it gets and count it in the map returned.
func (s *stage) count(n *netlab.Namespace, dev string) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "bench_count", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, err
	}
	s.closeLater(m)
	program, err := newXDP("bench_count", counts(m))
	if err != nil {
		return nil, err
	}
	s.closeLater(program)
	return m, s.attach(n, dev, program)
}

// attach has an XDP program see what comes in by a device.
func (s *stage) attach(n *netlab.Namespace, dev string, program *ebpf.Program) error {
	index, err := indexOf(n, dev)
	if err != nil {
		return err
	}
	return n.Do(func() error {
		l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: link.XDPDriverMode})
		if err != nil {
			return fmt.Errorf("attach %v to %s: %w", program, dev, err)
		}
		s.closeLater(l)
		return nil
	})
}

func indexOf(n *netlab.Namespace, dev string) (int, error) {
	iface, err := n.Netlink().LinkByName(dev)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", dev, err)
	}
	return iface.Attrs().Index, nil
}

// arrived is how many packets such a map has.
func arrived(m *ebpf.Map) (sum uint64, err error) {
	var each []uint64
	if err := m.Lookup(uint32(0), &each); err != nil {
		return 0, fmt.Errorf("read what arrived: %w", err)
	}
	for _, n := range each {
		sum += n
	}
	return sum, nil
}

// load brings maitred into the kernel, and the tc program onto its interface.
func (s *stage) load(folder string, flows int) (err error) {
	s.folder = folder
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("remove what a run before has left: %w", err)
	}
	if s.maps, err = maps.Open(folder, maps.Options{Forwarding: true, Flows: flows, FullNAT: true}); err != nil {
		return err
	}
	if s.xdp, err = ebpf.LoadPinnedProgram(filepath.Join(folder, "maitred_xdp"), nil); err != nil {
		return err
	}
	s.closeLater(s.xdp)
	if s.forwarding, err = ebpf.LoadPinnedMap(filepath.Join(folder, "forwarding"), nil); err != nil {
		return err
	}
	s.closeLater(s.forwarding)
	for _, index := range []int{s.near, s.far} {
		if err := s.maps.PutDevice(index, true); err != nil {
			return err
		}
	}
	return s.director.Do(func() error {
		_, err := s.maps.Attach("tc", maps.AttachTC)
		return err
	})
}
