// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers of what a tunnel carries are ProtoIPIP and ProtoIPv6.
const gueHeader = 12 // of UDP and of GUE, in bytes

// Tunnel is an IP packet in the outer header of a tunnel: RFC 2003, RFC 2473 and
// RFC 4213, or with GUE in UDP before it.
type Tunnel struct {
	Src, Dst netip.Addr
	GUE      *GUE   // nil: none
	Inner    []byte // an IP packet: see Datagram
	IP       IP
	Link     Link
}

// GUE is Generic UDP Encapsulation (draft-ietf-intarea-gue-09), variant 0 with no
// optional field. Its UDP checksum is zero: none.
type GUE struct {
	SrcPort, DstPort uint16
}

// Bytes returns the frame. It panics when Src and Dst are not of one IP version,
// or when there is no inner packet.
func (t Tunnel) Bytes() []byte {
	proto := ProtoIPIP
	if t.Inner[0]>>4 == 6 {
		proto = ProtoIPv6
	}
	if t.GUE == nil {
		return frame(t.Link, t.IP, t.Src, t.Dst, proto, t.Inner)
	}
	b := binary.BigEndian.AppendUint16(nil, t.GUE.SrcPort)
	b = binary.BigEndian.AppendUint16(b, t.GUE.DstPort)
	b = binary.BigEndian.AppendUint16(b, uint16(gueHeader+len(t.Inner)))
	b = append(b, 0, 0, 0, proto, 0, 0)
	return frame(t.Link, t.IP, t.Src, t.Dst, ProtoUDP, append(b, t.Inner...))
}

// Datagram returns the IP packet of a frame, as a tunnel carries it and an ICMP
// error quotes it: without its link header, and without what may follow it.
func Datagram(frame []byte) []byte {
	at := 12
	for tagged(binary.BigEndian.Uint16(frame[at:])) {
		at += 4
	}
	b := frame[at+2:]
	if b[0]>>4 == 4 {
		return b[:binary.BigEndian.Uint16(b[2:])]
	}
	return b[:40+int(binary.BigEndian.Uint16(b[4:]))]
}

// Limits of an ICMP error with its quote, in bytes from the IP header on (RFC 1812
// section 4.3.2.3, RFC 4443 section 2.4).
const (
	MaxError4 = 576
	MaxError6 = 1280
)

// Quote returns as much of a frame's IP packet as an ICMP error has room for.
func Quote(frame []byte) []byte {
	b, most := Datagram(frame), MaxError4-20-8
	if b[0]>>4 == 6 {
		most = MaxError6 - 40 - 8
	}
	return b[:min(len(b), most)]
}
