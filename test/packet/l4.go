// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// TCP is a TCP segment in its frame (RFC 9293 section 3.1).
type TCP struct {
	Src, Dst netip.AddrPort
	Seq, Ack uint32
	Flags    Flags
	Window   uint16
	Urgent   uint16
	MSS      uint16 // option, put before Options; zero means none
	Options  []byte // raw, padded with zeros to a multiple of 4
	Payload  []byte
	IP       IP
	Link     Link

	Checksum   *uint16 // override
	DataOffset *uint8  // override, in words of 4 bytes
	Reserved   uint8   // the four bits between data offset and flags
}

// Flags are the TCP control bits.
type Flags uint8

// TCP control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// String names the set bits, for example "SYN|ACK".
func (f Flags) String() string {
	var set []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if f&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, "|")
}

// Bytes returns the frame. It panics when Src and Dst are not of one IP version.
func (t TCP) Bytes() []byte {
	var options []byte
	if t.MSS != 0 {
		options = binary.BigEndian.AppendUint16([]byte{2, 4}, t.MSS)
	}
	options = pad(append(options, t.Options...), 4)
	b := binary.BigEndian.AppendUint16(nil, t.Src.Port())
	b = binary.BigEndian.AppendUint16(b, t.Dst.Port())
	b = binary.BigEndian.AppendUint32(b, t.Seq)
	b = binary.BigEndian.AppendUint32(b, t.Ack)
	b = append(b, or(t.DataOffset, uint8(5+len(options)/4))<<4|t.Reserved&0xf, uint8(t.Flags))
	b = binary.BigEndian.AppendUint16(b, t.Window)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, t.Urgent)
	b = append(b, options...)
	b = append(b, t.Payload...)
	sum := checksumL4(t.Src.Addr(), t.Dst.Addr(), ProtoTCP, b)
	binary.BigEndian.PutUint16(b[16:], or(t.Checksum, sum))
	return frame(t.Link, t.IP, t.Src.Addr(), t.Dst.Addr(), ProtoTCP, b)
}

// UDP is a UDP datagram in its frame (RFC 768).
type UDP struct {
	Src, Dst netip.AddrPort
	Payload  []byte
	IP       IP
	Link     Link

	Checksum *uint16 // override; zero means that the sender computed none
	Length   *uint16 // override
}

// Bytes returns the frame. It panics when Src and Dst are not of one IP version.
func (u UDP) Bytes() []byte {
	b := binary.BigEndian.AppendUint16(nil, u.Src.Port())
	b = binary.BigEndian.AppendUint16(b, u.Dst.Port())
	b = binary.BigEndian.AppendUint16(b, or(u.Length, uint16(8+len(u.Payload))))
	b = append(b, 0, 0)
	b = append(b, u.Payload...)
	binary.BigEndian.PutUint16(b[6:], or(u.Checksum, u.checksum(b)))
	return frame(u.Link, u.IP, u.Src.Addr(), u.Dst.Addr(), ProtoUDP, b)
}

// checksum sends a computed zero as all ones, since zero means no checksum.
func (u UDP) checksum(segment []byte) uint16 {
	sum := checksumL4(u.Src.Addr(), u.Dst.Addr(), ProtoUDP, segment)
	if sum == 0 {
		return 0xffff
	}
	return sum
}

// ICMP is an ICMP (RFC 792) or, between IPv6 addresses, an ICMPv6 (RFC 4443)
// message in its frame.
type ICMP struct {
	Src, Dst netip.Addr
	Type     uint8
	Code     uint8
	Rest     uint32 // the second word: identifier and sequence, or MTU
	Payload  []byte
	IP       IP
	Link     Link

	Checksum *uint16 // override
}

// Bytes returns the frame. It panics when Src and Dst are not of one IP version.
func (m ICMP) Bytes() []byte {
	b := []byte{m.Type, m.Code, 0, 0}
	b = binary.BigEndian.AppendUint32(b, m.Rest)
	b = append(b, m.Payload...)
	proto, sum := ProtoICMP, Checksum(b)
	if m.Src.Unmap().Is6() {
		proto, sum = ProtoICMPv6, checksumL4(m.Src, m.Dst, ProtoICMPv6, b)
	}
	binary.BigEndian.PutUint16(b[2:], or(m.Checksum, sum))
	return frame(m.Link, m.IP, m.Src, m.Dst, proto, b)
}
