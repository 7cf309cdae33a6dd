// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Lab is a client, a director and its real servers:
//
//	client eth0 --- eth0 director srv1 --- eth0 server 1
//	                              srv2 --- eth0 server 2
//
// The client reaches everything by the director, which forwards. With the
// method NAT the servers answer by the director. With the others each has a
// link eth1 of its own to the client, to answer past the director. With DR and
// TUN the servers hold the service addresses on loopback. The director does not
// hold them: that is for the test, or for the director daemon, to do.
//
// XDP_PASS, or with TUN the end of the tunnel, is attached to every eth0 but
// the director's.
type Lab struct {
	Client   Host
	Director Host
	Servers  []Host
	// VIP4 and VIP6 are free addresses for a virtual service.
	VIP4, VIP6 netip.Addr
	// Crowd4 and Crowd6 are all addresses of the client: it may bind to any.
	Crowd4, Crowd6 netip.Prefix
	// Nobody4 is routed to the client, who has none of its addresses.
	Nobody4 netip.Prefix

	others []*Namespace // routers and switches
}

// Host is a namespace and its addresses on eth0.
type Host struct {
	*Namespace
	IPv4, IPv6 netip.Addr
}

// Method is how packets get from the director to a server and back.
type Method int

// The forwarding methods. With FullNAT the servers know the director's address
// on the client's link, and reach all else past the director.
const (
	NAT Method = iota
	DR
	TUN
	FullNAT
)

// Options describe a Lab.
type Options struct {
	Servers int // 0 means 2; at most 200
	Method  Method
	Tunnel  Tunnel // of TUN

	// Narrow puts a router between the director, by its device srv, and all
	// servers. The links behind the router have this MTU, in bytes; 0: no router.
	Narrow int
	// OneArmed puts client, director and servers on one segment, each by its
	// eth0 alone. It does not go with NAT, whose servers would answer past the
	// director, nor with Narrow.
	OneArmed bool
	// MTU of the links of the servers; 0: 1500, and 1600 with TUN.
	MTU int
}

// NewDirector builds a lab.
func NewDirector(o Options) (*Lab, error) {
	if o.Servers == 0 {
		o.Servers = 2
	}
	if o.Servers < 0 || o.Servers > 200 {
		return nil, fmt.Errorf("build a lab of %d servers: want 1 to 200", o.Servers)
	}
	if o.OneArmed && (o.Method == NAT || o.Narrow != 0) {
		return nil, errors.New("build a one-armed lab: it goes neither with NAT nor with a router")
	}
	if o.MTU == 0 && o.Method == TUN {
		o.MTU = 1600 // room for the outer header
	}
	l := &Lab{
		VIP4: netip.MustParseAddr("198.51.100.10"), VIP6: netip.MustParseAddr("2001:db8:100::10"),
		Crowd4: netip.MustParsePrefix("198.18.0.0/16"), Crowd6: netip.MustParsePrefix("2001:db8:c::/64"),
		Nobody4: netip.MustParsePrefix("100.64.0.0/10"),
	}
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
	if o.OneArmed {
		err = l.buildSegment(o)
	} else {
		err = l.buildStar(o)
	}
	if err != nil {
		return err
	}
	return errors.Join(
		l.Client.routeBy(l.Director.IPv4, l.Director.IPv6),
		l.gather(),
	)
}

// buildStar gives every server a link of its own.
func (l *Lab) buildStar(o Options) error {
	if err := Veth(l.Client.end("eth0", mac(0, 2)), l.Director.end("eth0", mac(0, 1)), 0); err != nil {
		return err
	}
	if err := l.Client.PassXDP("eth0"); err != nil {
		return err
	}
	hub := l.Director.Namespace
	if o.Narrow != 0 {
		router, err := l.addRouter(o.MTU)
		if err != nil {
			return err
		}
		hub, o.MTU = router.Namespace, o.Narrow
	}
	for i := 1; i <= o.Servers; i++ {
		if err := l.addServer(i, hub, o); err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
	}
	return nil
}

// addRouter puts a router behind the director.
func (l *Lab) addRouter(mtu int) (Host, error) {
	router, err := newHost("router", "10.0.0.2", "2001:db8:10::2")
	if err != nil {
		return Host{}, err
	}
	l.others = append(l.others, router.Namespace)
	near := Host{l.Director.Namespace, router.IPv4.Prev(), router.IPv6.Prev()}
	if err := Veth(near.end("srv", mac(250, 1)), router.end("eth0", mac(250, 2)), mtu); err != nil {
		return Host{}, err
	}
	return router, errors.Join(
		router.Forward(), router.PassXDP("eth0"), router.routeBy(near.IPv4, near.IPv6),
		l.Director.AddRoute(inside4(), router.IPv4), l.Director.AddRoute(inside6(), router.IPv6),
	)
}

// inside4 and inside6 hold all addresses behind the director.
func inside4() netip.Prefix { return netip.MustParsePrefix("10.0.0.0/16") }
func inside6() netip.Prefix { return netip.MustParsePrefix("2001:db8:10::/48") }

// addServer links a server to the hub, which is the director or a router.
func (l *Lab) addServer(i int, hub *Namespace, o Options) error {
	server, err := newHost(fmt.Sprintf("server%d", i), fmt.Sprintf("10.0.%d.2", i), fmt.Sprintf("2001:db8:10:%x::2", i))
	if err != nil {
		return err
	}
	l.Servers = append(l.Servers, server)
	gateway := Host{hub, server.IPv4.Prev(), server.IPv6.Prev()}
	if err := Veth(gateway.end(fmt.Sprintf("srv%d", i), mac(i, 1)), server.end("eth0", mac(i, 2)), o.MTU); err != nil {
		return err
	}
	if o.Method == NAT {
		return errors.Join(server.PassXDP("eth0"), server.routeBy(gateway.IPv4, gateway.IPv6))
	}
	if err := l.answerDirectly(i, server); err != nil {
		return err
	}
	if err := errors.Join(server.AddRoute(inside4(), gateway.IPv4), server.AddRoute(inside6(), gateway.IPv6)); err != nil {
		return err
	}
	if o.Method == FullNAT {
		for _, a := range []netip.Addr{l.Director.IPv4, l.Director.IPv6} {
			if err := server.AddRoute(netip.PrefixFrom(a, a.BitLen()), gateway.of(a)); err != nil {
				return err
			}
		}
	}
	return l.takeIn(server, o)
}

// answerDirectly gives a server a way to the client that is not by the director.
func (l *Lab) answerDirectly(i int, server Host) error {
	near := Host{server.Namespace, netip.AddrFrom4([4]byte{172, 16, byte(i), 2}), addr("2001:db8:20:%x::2", i)}
	far := Host{l.Client.Namespace, near.IPv4.Prev(), near.IPv6.Prev()}
	if err := Veth(far.end(fmt.Sprintf("srv%d", i), mac(i, 3)), near.end("eth1", mac(i, 4)), 0); err != nil {
		return err
	}
	return server.routeBy(far.IPv4, far.IPv6)
}

// takeIn makes a server take in what the director sends it to the service
// addresses, by the lab's method and by no other.
func (l *Lab) takeIn(server Host, o Options) error {
	switch o.Method {
	case NAT, FullNAT:
		return server.PassXDP("eth0")
	case DR:
		return errors.Join(server.hold(l.VIP4, l.VIP6), server.PassXDP("eth0"))
	case TUN:
		return errors.Join(server.hold(l.VIP4, l.VIP6), server.endTunnel(o.Tunnel, l.VIP4, l.VIP6))
	}
	return fmt.Errorf("unknown method %d", o.Method)
}

// hold puts service addresses on loopback, where nobody is told of them.
func (h Host) hold(vips ...netip.Addr) error {
	for key, value := range map[string]string{"ipv4/conf/all/arp_ignore": "1", "ipv4/conf/all/arp_announce": "2"} {
		if err := h.Sysctl(key, value); err != nil {
			return err
		}
	}
	for _, vip := range vips {
		if err := h.AddAddr("lo", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
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
	for _, n := range l.others {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}

func newHost(name, ipv4, ipv6 string) (Host, error) {
	n, err := New(name)
	return Host{n, netip.MustParseAddr(ipv4), netip.MustParseAddr(ipv6)}, err
}

// of is the host's address of the family of another.
func (h Host) of(a netip.Addr) netip.Addr {
	if a.Is4() {
		return h.IPv4
	}
	return h.IPv6
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
