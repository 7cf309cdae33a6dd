// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Lab is a client, a director and its real servers:
//
//	client eth0 --- eth0 director srv1 --- eth0 server 1
//	                              srv2 --- eth0 server 2
//
// The client reaches everything by the director, which forwards. With the
// method NAT the servers answer by the director. With DR and TUN each has a
// link eth1 of its own to the client, to answer past the director, and holds
// the service addresses on loopback. The director does not hold them: that is
// for the test, or for the director daemon, to do.
//
// XDP_PASS is attached to every eth0 but the director's.
type Lab struct {
	Client   Host
	Director Host
	Servers  []Host
	// VIP4 and VIP6 are free addresses for a virtual service.
	VIP4, VIP6 netip.Addr
}

// Host is a namespace and its addresses on eth0.
type Host struct {
	*Namespace
	IPv4, IPv6 netip.Addr
}

// Method is how packets get from the director to a server and back.
type Method int

// The forwarding methods of IPVS.
const (
	NAT Method = iota
	DR
	TUN
)

// Options describe a Lab.
type Options struct {
	Servers int // 0 means 2; at most 250
	Method  Method
}

// NewDirector builds a lab. TUN needs the kernel's ipip and ip6tnl devices.
func NewDirector(o Options) (*Lab, error) {
	if o.Servers == 0 {
		o.Servers = 2
	}
	if o.Servers < 0 || o.Servers > 250 {
		return nil, fmt.Errorf("build a lab of %d servers: want 1 to 250", o.Servers)
	}
	l := &Lab{VIP4: netip.MustParseAddr("198.51.100.10"), VIP6: netip.MustParseAddr("2001:db8:100::10")}
	if err := l.build(o); err != nil {
		return nil, errors.Join(fmt.Errorf("build a lab: %w", err), l.Close())
	}
	return l, nil
}

func (l *Lab) build(o Options) (err error) {
	if l.Client, err = newHost("client", "192.0.2.2", "2001:db8:1::2"); err != nil {
		return err
	}
	if l.Director, err = newHost("director", "192.0.2.1", "2001:db8:1::1"); err != nil {
		return err
	}
	if err := l.Director.Forward(); err != nil {
		return err
	}
	if err := Veth(l.Client.end("eth0", mac(0, 2)), l.Director.end("eth0", mac(0, 1)), 0); err != nil {
		return err
	}
	if err := l.Client.routeBy(l.Director.IPv4, l.Director.IPv6); err != nil {
		return err
	}
	if err := l.Client.PassXDP("eth0"); err != nil {
		return err
	}
	for i := 1; i <= o.Servers; i++ {
		if err := l.addServer(i, o.Method); err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
	}
	return nil
}

func (l *Lab) addServer(i int, method Method) error {
	server, err := newHost(fmt.Sprintf("server%d", i), fmt.Sprintf("10.0.%d.2", i), fmt.Sprintf("2001:db8:10:%x::2", i))
	if err != nil {
		return err
	}
	l.Servers = append(l.Servers, server)
	gateway := Host{l.Director.Namespace, server.IPv4.Prev(), server.IPv6.Prev()}
	mtu := 0
	if method == TUN {
		mtu = 1600 // room for the outer header
	}
	if err := Veth(gateway.end(fmt.Sprintf("srv%d", i), mac(i, 1)), server.end("eth0", mac(i, 2)), mtu); err != nil {
		return err
	}
	if err := server.PassXDP("eth0"); err != nil {
		return err
	}
	switch method {
	case NAT:
		return server.routeBy(gateway.IPv4, gateway.IPv6)
	case DR:
		return l.answerDirectly(i, server)
	case TUN:
		return errors.Join(l.answerDirectly(i, server), server.decapsulate())
	}
	return fmt.Errorf("unknown method %d", method)
}

// answerDirectly gives a server the service addresses and a way to the client
// that is not by the director.
func (l *Lab) answerDirectly(i int, server Host) error {
	near := Host{server.Namespace, netip.AddrFrom4([4]byte{172, 16, byte(i), 2}), addr("2001:db8:20:%x::2", i)}
	far := Host{l.Client.Namespace, near.IPv4.Prev(), near.IPv6.Prev()}
	if err := Veth(far.end(fmt.Sprintf("srv%d", i), mac(i, 3)), near.end("eth1", mac(i, 4)), 0); err != nil {
		return err
	}
	for key, value := range map[string]string{
		"ipv4/conf/all/arp_ignore":   "1", // the service address is not to be found here
		"ipv4/conf/all/arp_announce": "2",
	} {
		if err := server.Sysctl(key, value); err != nil {
			return err
		}
	}
	for _, vip := range []netip.Addr{l.VIP4, l.VIP6} {
		if err := server.AddAddr("lo", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
			return err
		}
	}
	return server.routeBy(far.IPv4, far.IPv6)
}

// decapsulate takes in IPv4 in IPv4 and anything in IPv6, from any sender.
func (h Host) decapsulate() error {
	for _, tunnel := range []netlink.Link{
		&netlink.Iptun{LinkAttrs: netlink.LinkAttrs{Name: "tun4"}, Local: h.IPv4.AsSlice(), Remote: net.IPv4zero},
		&netlink.Ip6tnl{LinkAttrs: netlink.LinkAttrs{Name: "tun6"}, Local: h.IPv6.AsSlice(), Remote: net.IPv6zero},
	} {
		name := tunnel.Attrs().Name
		if err := h.handle.LinkAdd(tunnel); err != nil {
			return fmt.Errorf("add tunnel %s in %s: %w", name, h.name, err)
		}
		if err := h.Up(name); err != nil {
			return err
		}
	}
	return nil
}

// Close removes all namespaces of the lab.
func (l *Lab) Close() error {
	var errs []error
	for _, h := range append(l.Servers, l.Client, l.Director) {
		if h.Namespace != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

func newHost(name, ipv4, ipv6 string) (Host, error) {
	n, err := New(name)
	return Host{n, netip.MustParseAddr(ipv4), netip.MustParseAddr(ipv6)}, err
}

// end is the host's end of a link, with its addresses in a /24 and a /64.
func (h Host) end(dev string, mac net.HardwareAddr) End {
	return End{h.Namespace, dev, mac, []netip.Prefix{netip.PrefixFrom(h.IPv4, 24), netip.PrefixFrom(h.IPv6, 64)}}
}

func (h Host) routeBy(ipv4, ipv6 netip.Addr) error {
	return errors.Join(h.AddDefaultRoute(ipv4), h.AddDefaultRoute(ipv6))
}

// mac makes addresses that are easy to tell apart in a packet dump: the
// server's number (0 is the client's link) and the end of the link.
func mac(server, end int) net.HardwareAddr {
	return net.HardwareAddr{2, 0, 0, 0, byte(server), byte(end)}
}

func addr(format string, args ...any) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, args...))
}
