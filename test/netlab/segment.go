// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// buildSegment puts all hosts on one bridge. Packets leave the director by the
// device that they came in by.
func (l *Lab) buildSegment(o Options) error {
	bridge, err := New("switch")
	if err != nil {
		return err
	}
	l.others = append(l.others, bridge)
	attrs := netlink.LinkAttrs{Name: "br0", TxQLen: -1}
	if err := bridge.handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("add a bridge in %s: %w", bridge.name, err)
	}
	if err := bridge.Up("br0"); err != nil {
		return err
	}
	if err := errors.Join(
		l.Client.plugInto(bridge, "client", 1, 0),
		l.Director.plugInto(bridge, "director", 2, o.MTU),
		l.Client.PassXDP("eth0"),
		l.Director.Sysctl("ipv4/conf/all/send_redirects", "0"),
		l.Director.Sysctl("ipv4/conf/eth0/send_redirects", "0"),
	); err != nil {
		return err
	}
	for i := 1; i <= o.Servers; i++ {
		server, err := newHost(fmt.Sprintf("server%d", i), fmt.Sprintf("192.0.2.%d", 10+i), fmt.Sprintf("2001:db8:1::%x", 0x100+i))
		if err != nil {
			return err
		}
		l.Servers = append(l.Servers, server)
		if err := errors.Join(
			server.plugInto(bridge, fmt.Sprintf("server%d", i), 10+i, o.MTU),
			l.takeIn(server, o),
			server.routeBy(l.Client.IPv4, l.Client.IPv6), // to its crowd
		); err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
	}
	return nil
}

// plugInto connects the host's eth0 to a port of the bridge.
func (h Host) plugInto(bridge *Namespace, port string, number, mtu int) error {
	if err := Veth(h.end("eth0", mac(0, number)), End{In: bridge, Name: port, MAC: mac(1, number)}, mtu); err != nil {
		return err
	}
	link, err := bridge.link(port)
	if err != nil {
		return err
	}
	br0, err := bridge.link("br0")
	if err != nil {
		return err
	}
	if err := bridge.handle.LinkSetMaster(link, br0); err != nil {
		return fmt.Errorf("make %s a port of %s: %w", port, bridge.name, err)
	}
	return bridge.PassXDP(port)
}
