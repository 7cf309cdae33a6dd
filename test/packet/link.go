// SPDX-License-Identifier: Apache-2.0

package packet

import "encoding/binary"

// EtherTypes and tag protocol identifiers (IEEE 802).
const (
	EtherTypeIPv4 uint16 = 0x0800
	EtherTypeARP  uint16 = 0x0806
	EtherTypeIPv6 uint16 = 0x86dd
	TPID8021Q     uint16 = 0x8100
	TPID8021AD    uint16 = 0x88a8
)

// MAC is an Ethernet address.
type MAC [6]byte

// DefaultSrcMAC and DefaultDstMAC stand in for addresses that a test leaves out.
var (
	DefaultSrcMAC = MAC{2, 0, 0, 0, 0, 1}
	DefaultDstMAC = MAC{2, 0, 0, 0, 0, 2}
)

// Link is the Ethernet layer of a frame. Its zero value is untagged Ethernet
// between DefaultSrcMAC and DefaultDstMAC.
type Link struct {
	Src, Dst MAC
	// VLANs are the tag control words (priority and VLAN id), the outermost first.
	VLANs []uint16
	// TPIDs announce the tags one by one. Nil: 802.1Q for the innermost tag,
	// 802.1ad for those around it.
	TPIDs []uint16
	// EtherType of the payload. Zero: that of the IP version.
	EtherType uint16
	// Trailer follows the IP packet, as Ethernet padding does.
	Trailer []byte
}

// header returns the Ethernet header for a payload of the given EtherType.
func (l Link) header(etherType uint16) []byte {
	src, dst := l.Src, l.Dst
	if src == (MAC{}) {
		src = DefaultSrcMAC
	}
	if dst == (MAC{}) {
		dst = DefaultDstMAC
	}
	b := append(dst[:], src[:]...)
	for i, tci := range l.VLANs {
		b = binary.BigEndian.AppendUint16(b, l.tpid(i))
		b = binary.BigEndian.AppendUint16(b, tci)
	}
	if l.EtherType != 0 {
		etherType = l.EtherType
	}
	return binary.BigEndian.AppendUint16(b, etherType)
}

func (l Link) tpid(i int) uint16 {
	switch {
	case i < len(l.TPIDs):
		return l.TPIDs[i]
	case i == len(l.VLANs)-1:
		return TPID8021Q
	default:
		return TPID8021AD
	}
}
