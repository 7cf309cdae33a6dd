// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Packet is a parsed frame. At most one of TCP, UDP and ICMP is set; none is
// for another protocol or for a fragment after the first. In the structs
// override fields are nil where the frame holds the value that Bytes would
// compute; thus a wrong checksum shows as a Checksum that is not nil.
// Parsed slices alias the frame.
type Packet struct {
	Link     Link
	IP       IP
	Src, Dst netip.Addr
	Proto    uint8 // of the layer 4, behind any IPv6 extension headers
	TCP      *TCP
	UDP      *UDP
	ICMP     *ICMP
	// Payload is that of the L4 header, or of IP when there is no known one.
	Payload []byte

	header []byte // IPv4 header; nil for IPv6
	l4     []byte // all that the L4 checksum covers besides the pseudo header
}

// ErrTruncated says that a header or a length reaches past the end of the frame.
var ErrTruncated = errors.New("truncated")

// Parse reads an Ethernet frame with an IPv4 or IPv6 packet. It does not check
// checksums: see ChecksumsOK.
func Parse(frame []byte) (Packet, error) {
	var p Packet
	rest, etherType, err := p.parseLink(frame)
	if err != nil {
		return Packet{}, err
	}
	switch etherType {
	case EtherTypeIPv4:
		err = p.parseIPv4(rest)
	case EtherTypeIPv6:
		err = p.parseIPv6(rest)
	default:
		err = fmt.Errorf("parse frame: EtherType %#04x is not IP", etherType)
	}
	if err != nil {
		return Packet{}, err
	}
	p.Payload = p.l4
	if p.offset() != 0 {
		return p, nil
	}
	switch p.Proto {
	case ProtoTCP:
		err = p.parseTCP()
	case ProtoUDP:
		err = p.parseUDP()
	case ProtoICMP, ProtoICMPv6:
		err = p.parseICMP()
	}
	if err != nil {
		return Packet{}, err
	}
	return p, nil
}

func (p *Packet) parseLink(b []byte) (rest []byte, etherType uint16, err error) {
	if len(b) < 14 {
		return nil, 0, fmt.Errorf("parse Ethernet header: %w", ErrTruncated)
	}
	p.Link.Dst, p.Link.Src = MAC(b[0:6]), MAC(b[6:12])
	b = b[12:]
	for tagged(binary.BigEndian.Uint16(b)) {
		if len(b) < 6 {
			return nil, 0, fmt.Errorf("parse VLAN tag: %w", ErrTruncated)
		}
		p.Link.TPIDs = append(p.Link.TPIDs, binary.BigEndian.Uint16(b))
		p.Link.VLANs = append(p.Link.VLANs, binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
	}
	implied := Link{VLANs: p.Link.VLANs}
	for i, tpid := range p.Link.TPIDs {
		if implied.tpid(i) != tpid {
			return b[2:], binary.BigEndian.Uint16(b), nil
		}
	}
	p.Link.TPIDs = nil
	return b[2:], binary.BigEndian.Uint16(b), nil
}

func tagged(etherType uint16) bool {
	return etherType == TPID8021Q || etherType == TPID8021AD
}

func (p *Packet) parseIPv4(b []byte) error {
	if len(b) < 20 {
		return fmt.Errorf("parse IPv4 header: %w", ErrTruncated)
	}
	size, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || size < 20 {
		return fmt.Errorf("parse IPv4 header: bad first byte %#02x", b[0])
	}
	if size > total || total > len(b) {
		return fmt.Errorf("parse IPv4 header: %d of %d bytes in %d: %w", size, total, len(b), ErrTruncated)
	}
	p.header, p.l4, p.Link.Trailer = b[:size], b[size:total], tail(b[total:])
	fragment := binary.BigEndian.Uint16(b[6:])
	p.IP = IP{
		TOS: b[1], ID: binary.BigEndian.Uint16(b[4:]), TTL: b[8],
		DF: fragment&0x4000 != 0, MF: fragment&0x2000 != 0, FragmentOffset: fragment & 0x1fff * 8,
		Options: tail(b[20:size]),
	}
	p.Proto = b[9]
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.IP.Checksum = override(binary.BigEndian.Uint16(b[10:]), checksumWithout(p.header, 10, Checksum))
	return nil
}

func (p *Packet) parseIPv6(b []byte) error {
	if len(b) < 40 {
		return fmt.Errorf("parse IPv6 header: %w", ErrTruncated)
	}
	word, size := binary.BigEndian.Uint32(b), int(binary.BigEndian.Uint16(b[4:]))
	if word>>28 != 6 {
		return fmt.Errorf("parse IPv6 header: version %d", word>>28)
	}
	if size > len(b)-40 {
		return fmt.Errorf("parse IPv6 header: %d bytes in %d: %w", size, len(b)-40, ErrTruncated)
	}
	p.IP = IP{TOS: uint8(word >> 20), FlowLabel: word & 0xfffff, TTL: b[7]}
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	p.Proto, p.l4, p.Link.Trailer = b[6], b[40:40+size], tail(b[40+size:])
	return p.parseExtensions()
}

// parseExtensions stops behind a fragment header that is not the first: what
// follows is the middle of something.
func (p *Packet) parseExtensions() error {
	for extension(p.Proto) && p.offset() == 0 {
		if len(p.l4) < 8 {
			return fmt.Errorf("parse IPv6 extension header %d: %w", p.Proto, ErrTruncated)
		}
		size := 8
		if p.Proto != ProtoFragment {
			size += int(p.l4[1]) * 8
		}
		if size > len(p.l4) {
			return fmt.Errorf("parse IPv6 extension header %d: %w", p.Proto, ErrTruncated)
		}
		p.IP.Extensions = append(p.IP.Extensions, Extension{Proto: p.Proto, Body: p.l4[2:size]})
		p.Proto, p.l4 = p.l4[0], p.l4[size:]
	}
	return nil
}

func extension(proto uint8) bool {
	switch proto {
	case ProtoHopByHop, ProtoRouting, ProtoFragment, ProtoDestOpts:
		return true
	}
	return false
}

// offset is the fragment offset in bytes, of either IP version.
func (p *Packet) offset() uint16 {
	offset, _ := p.fragment()
	return offset
}

func (p *Packet) fragment() (offset uint16, more bool) {
	for _, e := range p.IP.Extensions {
		if e.Proto == ProtoFragment {
			word := binary.BigEndian.Uint16(e.Body)
			return word &^ 7, word&1 != 0
		}
	}
	return p.IP.FragmentOffset, p.IP.MF
}

// tail returns nil for no bytes, so that parsed structs equal literals.
func tail(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// override returns nil when got is what the builder computes.
func override[T comparable](got, computed T) *T {
	if got == computed {
		return nil
	}
	return &got
}

// checksumWithout computes a checksum with the two bytes at offset taken as zero.
func checksumWithout(b []byte, offset int, sum func([]byte) uint16) uint16 {
	c := append([]byte(nil), b...)
	c[offset], c[offset+1] = 0, 0
	return sum(c)
}
