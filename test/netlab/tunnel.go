// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// errNoTunnels says that the kernel was built without what takes in a tunnel.
var errNoTunnels = errors.New("kernel has no tunnels")

// addTunnels takes in both IP versions in both, from any sender, and with GUE
// opens its port as well.
func (h Host) addTunnels(kind Tunnel) error {
	if kind == GUE {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			if err := h.openGUE(family); err != nil {
				return fmt.Errorf("open port %d for GUE in %s: %w", GUEPort, h.name, err)
			}
		}
	}
	for _, tunnel := range []netlink.Link{
		&netlink.Iptun{LinkAttrs: netlink.LinkAttrs{Name: "tun4"}, Local: h.IPv4.AsSlice(), Remote: net.IPv4zero},
		&netlink.Sittun{LinkAttrs: netlink.LinkAttrs{Name: "tun64"}, Local: h.IPv4.AsSlice(), Remote: net.IPv4zero, Proto: protoIPv6},
		&netlink.Ip6tnl{LinkAttrs: netlink.LinkAttrs{Name: "tun6"}, Local: h.IPv6.AsSlice(), Remote: net.IPv6zero},
	} {
		name := tunnel.Attrs().Name
		err := h.handle.LinkAdd(tunnel)
		if errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("%w: %s: %w", errNoTunnels, tunnel.Type(), err)
		}
		if err != nil {
			return fmt.Errorf("add tunnel %s in %s: %w", name, h.name, err)
		}
		if err := h.Up(name); err != nil {
			return err
		}
	}
	return nil
}

// openGUE is netlink.FouAdd without its attribute for the protocol inside: GUE
// names that itself, and kernels refuse the number zero.
func (h Host) openGUE(family uint8) error {
	fou, err := netlink.GenlFamilyGet(netlink.FOU_GENL_NAME)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: fou: %w", errNoTunnels, err)
	}
	if err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(int(fou.ID), unix.NLM_F_ACK)
	req.AddData(&nl.Genlmsg{Command: netlink.FOU_CMD_ADD, Version: 1})
	req.AddData(nl.NewRtAttr(netlink.FOU_ATTR_PORT, binary.BigEndian.AppendUint16(nil, GUEPort)))
	req.AddData(nl.NewRtAttr(netlink.FOU_ATTR_TYPE, []byte{netlink.FOU_ENCAP_GUE}))
	req.AddData(nl.NewRtAttr(netlink.FOU_ATTR_AF, []byte{family}))
	return h.Do(func() error {
		_, err := req.Execute(unix.NETLINK_GENERIC, 0)
		return err
	})
}
