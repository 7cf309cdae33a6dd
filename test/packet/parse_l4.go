// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// ErrChecksum says that a checksum is wrong.
var ErrChecksum = errors.New("bad checksum")

// ChecksumsOK verifies the IPv4 header checksum and that of TCP, UDP or ICMP.
// The L4 checksum of a fragment is not verified: it covers bytes that are not here.
func (p Packet) ChecksumsOK() error {
	if p.header != nil && Checksum(p.header) != 0 {
		return fmt.Errorf("IPv4 header: %w %#04x", ErrChecksum, binary.BigEndian.Uint16(p.header[10:]))
	}
	if offset, more := p.fragment(); more || offset != 0 {
		return nil
	}
	switch {
	case p.TCP != nil && checksumL4(p.Src, p.Dst, ProtoTCP, p.l4) != 0:
		return fmt.Errorf("TCP: %w %#04x", ErrChecksum, binary.BigEndian.Uint16(p.l4[16:]))
	case p.UDP != nil:
		return p.udpChecksumOK()
	case p.ICMP != nil && p.icmpSum(p.l4) != 0:
		return fmt.Errorf("ICMP: %w %#04x", ErrChecksum, binary.BigEndian.Uint16(p.l4[2:]))
	}
	return nil
}

// udpChecksumOK accepts zero in IPv4 only (RFC 768, RFC 8200 section 8.1).
func (p Packet) udpChecksumOK() error {
	sum := binary.BigEndian.Uint16(p.l4[6:])
	if sum == 0 && p.Src.Is4() {
		return nil
	}
	if sum == 0 || checksumL4(p.Src, p.Dst, ProtoUDP, p.l4) != 0 {
		return fmt.Errorf("UDP: %w %#04x", ErrChecksum, sum)
	}
	return nil
}

func (p Packet) icmpSum(b []byte) uint16 {
	if p.Proto == ProtoICMPv6 {
		return checksumL4(p.Src, p.Dst, ProtoICMPv6, b)
	}
	return Checksum(b)
}

func (p *Packet) parseTCP() error {
	b := p.l4
	if len(b) < 20 {
		return fmt.Errorf("parse TCP header: %w", ErrTruncated)
	}
	size := int(b[12]>>4) * 4
	if size < 20 || size > len(b) {
		return fmt.Errorf("parse TCP header: data offset %d in %d bytes: %w", size, len(b), ErrTruncated)
	}
	t := &TCP{
		Src:      netip.AddrPortFrom(p.Src, binary.BigEndian.Uint16(b)),
		Dst:      netip.AddrPortFrom(p.Dst, binary.BigEndian.Uint16(b[2:])),
		Seq:      binary.BigEndian.Uint32(b[4:]),
		Ack:      binary.BigEndian.Uint32(b[8:]),
		Reserved: b[12] & 0xf,
		Flags:    Flags(b[13]),
		Window:   binary.BigEndian.Uint16(b[14:]),
		Urgent:   binary.BigEndian.Uint16(b[18:]),
		Options:  tail(b[20:size]),
		Payload:  tail(b[size:]),
		IP:       p.IP,
		Link:     p.Link,
	}
	if o := t.Options; len(o) >= 4 && o[0] == 2 && o[1] == 4 && o[2]|o[3] != 0 {
		t.MSS, t.Options = binary.BigEndian.Uint16(o[2:]), tail(o[4:])
	}
	sum := func(b []byte) uint16 { return checksumL4(p.Src, p.Dst, ProtoTCP, b) }
	t.Checksum = override(binary.BigEndian.Uint16(b[16:]), checksumWithout(b, 16, sum))
	p.TCP, p.Payload = t, t.Payload
	return nil
}

func (p *Packet) parseUDP() error {
	b := p.l4
	if len(b) < 8 {
		return fmt.Errorf("parse UDP header: %w", ErrTruncated)
	}
	u := &UDP{
		Src:     netip.AddrPortFrom(p.Src, binary.BigEndian.Uint16(b)),
		Dst:     netip.AddrPortFrom(p.Dst, binary.BigEndian.Uint16(b[2:])),
		Length:  override(binary.BigEndian.Uint16(b[4:]), uint16(len(b))),
		Payload: tail(b[8:]),
		IP:      p.IP,
		Link:    p.Link,
	}
	u.Checksum = override(binary.BigEndian.Uint16(b[6:]), checksumWithout(b, 6, u.checksum))
	p.UDP, p.Payload = u, u.Payload
	return nil
}

func (p *Packet) parseICMP() error {
	b := p.l4
	if (p.Proto == ProtoICMP) != p.Src.Is4() {
		return nil // ICMP of the other IP version: a payload like any other
	}
	if len(b) < 8 {
		return fmt.Errorf("parse ICMP header: %w", ErrTruncated)
	}
	m := &ICMP{
		Src: p.Src, Dst: p.Dst, Type: b[0], Code: b[1],
		Rest:    binary.BigEndian.Uint32(b[4:]),
		Payload: tail(b[8:]),
		IP:      p.IP,
		Link:    p.Link,
	}
	m.Checksum = override(binary.BigEndian.Uint16(b[2:]), checksumWithout(b, 2, p.icmpSum))
	p.ICMP, p.Payload = m, m.Payload
	return nil
}
