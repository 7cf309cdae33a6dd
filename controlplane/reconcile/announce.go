// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// announce tells the neighbours on a link that an address is there now, so that
// they do not go on sending to whoever had it before. A link without Ethernet
// addresses has no neighbours to tell.
func announce(link *netlink.LinkAttrs, a netip.Addr) (err error) {
	if len(link.HardwareAddr) != 6 || link.Flags&net.FlagLoopback != 0 {
		return nil
	}
	proto, to, body := uint16(unix.ETH_P_ARP), broadcast, arpAnnouncement(link.HardwareAddr, a)
	if a.Is6() {
		body, err = neighbourAdvertisement(link.HardwareAddr, a, forwardsIPv6(link.Name))
		if err != nil {
			return fmt.Errorf("announce %s on %s: %w", a, link.Name, err)
		}
		proto, to = unix.ETH_P_IPV6, allNodesMAC
	}
	ifi := &net.Interface{Index: link.Index, Name: link.Name}
	conn, err := packet.Listen(ifi, packet.Raw, int(proto), nil)
	if err != nil {
		return fmt.Errorf("announce %s on %s: %w", a, link.Name, err)
	}
	frame := bytes.Join([][]byte{to, link.HardwareAddr, binary.BigEndian.AppendUint16(nil, proto), body}, nil)
	_, err = conn.WriteTo(frame, &packet.Addr{HardwareAddr: to})
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("announce %s on %s: %w", a, link.Name, err)
	}
	return nil
}

// broadcast and allNodesMAC, the multicast address of ff02::1 (RFC 2464), are
// heard by all neighbours.
var (
	broadcast   = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	allNodes    = netip.MustParseAddr("ff02::1")
)

// arpAnnouncement is a request for the address by the address (RFC 5227).
func arpAnnouncement(mac net.HardwareAddr, a netip.Addr) []byte {
	b := []byte{
		0, 1, 8, 0, // Ethernet, IPv4
		6, 4, 0, 1, // lengths of the addresses, request
	}
	b = append(append(b, mac...), a.AsSlice()...)
	return append(append(b, make([]byte, 6)...), a.AsSlice()...)
}

// neighbourAdvertisement is an unsolicited one that overrides what neighbours
// remember (RFC 4861, sections 4.4 and 7.2.6).
func neighbourAdvertisement(mac net.HardwareAddr, a netip.Addr, router bool) ([]byte, error) {
	const (
		flagRouter, flagOverride = 0x80, 0x20
		targetLinkLayerAddress   = 2
		hopLimit                 = 255
	)
	flags := byte(flagOverride)
	if router {
		flags |= flagRouter
	}
	body := append([]byte{flags, 0, 0, 0}, a.AsSlice()...)
	body = append(append(body, targetLinkLayerAddress, 1), mac...)
	m := icmp.Message{Type: ipv6.ICMPTypeNeighborAdvertisement, Body: &icmp.RawBody{Data: body}}
	payload, err := m.Marshal(icmp.IPv6PseudoHeader(a.AsSlice(), allNodes.AsSlice()))
	if err != nil {
		return nil, err
	}
	b := []byte{6 << 4, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, unix.IPPROTO_ICMPV6, hopLimit)
	b = append(append(b, a.AsSlice()...), allNodes.AsSlice()...)
	return append(b, payload...), nil
}

// forwardsIPv6 tells whether the machine routes what comes in by an interface: an
// advertisement must not tell hosts that their router is none any more.
func forwardsIPv6(name string) bool {
	text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/forwarding")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}
