// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// IP protocol and IPv6 extension header numbers.
const (
	ProtoHopByHop uint8 = 0
	ProtoICMP     uint8 = 1
	ProtoIPIP     uint8 = 4
	ProtoTCP      uint8 = 6
	ProtoUDP      uint8 = 17
	ProtoIPv6     uint8 = 41
	ProtoRouting  uint8 = 43
	ProtoFragment uint8 = 44
	ProtoICMPv6   uint8 = 58
	ProtoNoNext   uint8 = 59
	ProtoDestOpts uint8 = 60
)

// IP holds what tests vary in an IPv4 or IPv6 header besides its addresses.
// Fields of the other version are ignored.
type IP struct {
	TTL uint8 // or hop limit; zero means 64
	TOS uint8 // or traffic class

	// IPv4 only.
	ID             uint16
	DF, MF         bool
	FragmentOffset uint16 // in bytes, a multiple of 8
	Options        []byte // padded with zeros to a multiple of 4
	Checksum       *uint16

	// IPv6 only.
	FlowLabel  uint32
	Extensions []Extension

	// Length overrides the IPv4 total length or the IPv6 payload length.
	Length *uint16
	// IHL overrides the IPv4 header length, in words of 4 bytes.
	IHL *uint8
	// Version overrides the version field.
	Version *uint8
}

// Extension is one IPv6 extension header (RFC 8200 section 4).
type Extension struct {
	Proto uint8
	// Body is what follows the first two bytes (next header, length). It is
	// padded with PadN to a multiple of 8 with those two. For ProtoFragment it is the
	// six bytes after next header and reserved.
	Body []byte
}

// Fragment returns a fragment header; offset is in bytes, a multiple of 8.
func Fragment(id uint32, offset uint16, more bool) Extension {
	word := offset &^ 7
	if more {
		word |= 1
	}
	b := binary.BigEndian.AppendUint16(nil, word)
	return Extension{Proto: ProtoFragment, Body: binary.BigEndian.AppendUint32(b, id)}
}

// Raw is a packet with any payload: an unknown protocol, a later fragment, or
// an encapsulated packet.
type Raw struct {
	Src, Dst netip.Addr
	Proto    uint8
	Payload  []byte
	IP       IP
	Link     Link
}

// Bytes returns the frame. It panics when Src and Dst are not of one IP version.
func (r Raw) Bytes() []byte {
	return frame(r.Link, r.IP, r.Src, r.Dst, r.Proto, r.Payload)
}

// frame puts an L4 segment behind its IP and Ethernet headers.
func frame(l Link, ip IP, src, dst netip.Addr, proto uint8, l4 []byte) []byte {
	src, dst = src.Unmap(), dst.Unmap()
	var b []byte
	switch {
	case src.Is4() && dst.Is4():
		b = append(l.header(EtherTypeIPv4), ip.header4(src, dst, proto, len(l4))...)
	case src.Is6() && dst.Is6():
		b = append(l.header(EtherTypeIPv6), ip.header6(src, dst, proto, len(l4))...)
	default:
		panic(fmt.Sprintf("packet: no frame from %v to %v: not of one IP version", src, dst))
	}
	b = append(b, l4...)
	return append(b, l.Trailer...)
}

// header4 is RFC 791 section 3.1.
func (ip IP) header4(src, dst netip.Addr, proto uint8, payload int) []byte {
	options := pad(ip.Options, 4)
	size := 20 + len(options)
	fragment := ip.FragmentOffset / 8
	if ip.DF {
		fragment |= 0x4000
	}
	if ip.MF {
		fragment |= 0x2000
	}
	b := []byte{or(ip.Version, 4)<<4 | or(ip.IHL, uint8(size/4))&0xf, ip.TOS}
	b = binary.BigEndian.AppendUint16(b, or(ip.Length, uint16(size+payload)))
	b = binary.BigEndian.AppendUint16(b, ip.ID)
	b = binary.BigEndian.AppendUint16(b, fragment)
	b = append(b, ip.ttl(), proto, 0, 0)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	b = append(b, options...)
	binary.BigEndian.PutUint16(b[10:], or(ip.Checksum, Checksum(b)))
	return b
}

// header6 is RFC 8200 sections 3 and 4.
func (ip IP) header6(src, dst netip.Addr, proto uint8, payload int) []byte {
	var ext []byte
	for i, e := range ip.Extensions {
		next := proto
		if i+1 < len(ip.Extensions) {
			next = ip.Extensions[i+1].Proto
		}
		ext = append(ext, e.bytes(next)...)
	}
	first := proto
	if len(ip.Extensions) > 0 {
		first = ip.Extensions[0].Proto
	}
	word := uint32(or(ip.Version, 6))<<28 | uint32(ip.TOS)<<20 | ip.FlowLabel&0xfffff
	b := binary.BigEndian.AppendUint32(nil, word)
	b = binary.BigEndian.AppendUint16(b, or(ip.Length, uint16(len(ext)+payload)))
	b = append(b, first, ip.ttl())
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	return append(b, ext...)
}

func (ip IP) ttl() uint8 {
	if ip.TTL == 0 {
		return 64
	}
	return ip.TTL
}

func (e Extension) bytes(next uint8) []byte {
	body := e.Body
	if gap := (8 - (2+len(body))%8) % 8; gap == 1 {
		body = append(body[:len(body):len(body)], 0) // Pad1
	} else if gap > 1 {
		body = append(body[:len(body):len(body)], 1, uint8(gap-2)) // PadN
		body = append(body, make([]byte, gap-2)...)
	}
	length := uint8((2+len(body))/8 - 1)
	if e.Proto == ProtoFragment {
		length = 0 // reserved: the header has one size
	}
	return append([]byte{next, length}, body...)
}

// pad returns b with zeros up to a multiple of n.
func pad(b []byte, n int) []byte {
	return append(b[:len(b):len(b)], make([]byte, (n-len(b)%n)%n)...)
}

// or returns the override when there is one.
func or[T any](override *T, value T) T {
	if override != nil {
		return *override
	}
	return value
}
