// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// TestNAT: a conversation has the names of either side on that side, to the byte,
// and is noted and counted.
func TestNAT(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		since, gave := r.tallied(t, n.row), r.gaveBack(t, n.row)
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		r.back(t, p, n, talk{flags: packet.SYN | packet.ACK})
		r.out(t, p, n, talk{flags: packet.ACK, payload: bytesOf(99)}, DirectorVerdictFORWARD_FLOW)
		r.back(t, p, n, talk{flags: packet.ACK | packet.PSH, payload: bytesOf(1001)})

		state, opened := DirectorFlowStateFLOW_OPEN, uint64(1)
		if n.udp {
			state, opened = DirectorFlowStateFLOW_UDP, 0
		}
		f, table := r.flow(t, n.traffic)
		if table != "flows" || f.Server != uint16(n.row) || f.State != state {
			t.Errorf("%+v in %q", f, table)
		}
		out, back := since(), gave()
		if out.Packets != 2 || out.Flows != 1 {
			t.Errorf("to the server: %+v", out)
		}
		headers := len(talk{udp: n.udp}.between(n.server, n.source))
		if want := (DirectorTally{BackPackets: 2, BackBytes: uint64(2*headers + 1001), Opened: opened}); back != want {
			t.Errorf("from the server: %+v, want %+v", back, want)
		}
	})
}

// TestNATHeaders: whatever stands around the transport stays there, both ways.
func TestNATHeaders(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		for name, change := range headerCases() {
			t.Run(name, func(t *testing.T) {
				var proto packet.TCP
				change(&proto)
				k := talk{udp: n.udp, flags: packet.ACK, payload: bytesOf(64), ip: proto.IP, link: proto.Link}
				k.ip.TOS, k.ip.TTL, k.ip.FlowLabel, k.ip.ID, k.ip.DF = 0xb9, 2, 0xabcde, 77, true
				k.link.Trailer = k.link.Trailer[:min(len(k.link.Trailer), 200)]
				r.forget(t, n.traffic)
				if p.name == "xdp" && len(k.link.VLANs) > 0 {
					r.deferred(t, r.near, n, k.between(n.client, n.vip))
					r.deferred(t, r.far, n, k.between(n.server, n.source))
					return
				}
				r.out(t, p, n, k, DirectorVerdictFORWARD_OPEN)
				r.back(t, p, n, k)
			})
		}
	})
}

// TestNATChecksums: a UDP sender that computes none gets none; a checksum that
// comes out as zero is sent as UDP wants it; and no bits that carry are lost.
func TestNATChecksums(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		r.out(t, p, n, talk{flags: packet.ACK}, DirectorVerdictFORWARD_OPEN)
		zero := uint16(0)
		if n.udp {
			r.out(t, p, n, talk{sum: &zero, payload: bytesOf(33)}, DirectorVerdictFORWARD_FLOW)
			r.back(t, p, n, talk{sum: &zero, payload: bytesOf(33)})
		}
		for _, ends := range [][2]netip.AddrPort{{n.source, n.server}, {n.vip, n.client}} {
			k := talk{udp: n.udp, flags: packet.ACK, payload: []byte{0, 0, 7}}
			sum := l4Sum(k.between(ends[0], ends[1]))
			binary.BigEndian.PutUint16(k.payload, sum)
			if got := l4Sum(k.between(ends[0], ends[1])); got != 0 && got != 0xffff {
				t.Fatalf("checksum is %#x, not zero", got)
			}
			r.out(t, p, n, k, DirectorVerdictFORWARD_FLOW)
			r.back(t, p, n, k)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			k := talk{flags: packet.ACK, payload: make([]byte, random.IntN(9))}
			for i := range k.payload {
				k.payload[i] = byte(random.Uint32() | random.Uint32())
			}
			r.out(t, p, n, k, DirectorVerdictFORWARD_FLOW)
			r.back(t, p, n, k)
		}
	})
}

// l4Sum is the checksum of the transport.
func l4Sum(frame []byte) uint16 {
	const link, v4, v6, tcp, udp = 14, 20, 40, 16, 6
	at, protocol := link+v4, frame[link+9]
	if frame[link]>>4 == 6 {
		at, protocol = link+v6, frame[link+6]
	}
	if protocol == packet.ProtoUDP {
		return binary.BigEndian.Uint16(frame[at+udp:])
	}
	return binary.BigEndian.Uint16(frame[at+tcp:])
}

// TestUnfinished: where the field has the sum of the pseudo-header alone, since
// the sender behind a veth leaves the rest to the transmitter, XDP leaves the
// packet to tc, whatever the method.
func TestUnfinished(t *testing.T) {
	r := newForwardRig(t)
	for _, x := range traffics() {
		for _, k := range append(natKinds(), natKind{name: "dr"}) {
			t.Run(x.name+" "+k.name, func(t *testing.T) {
				n := r.translate(t, x, k)
				for _, size := range []int{0, 1, 1200} {
					k := talk{udp: n.udp, flags: packet.ACK, payload: bytesOf(size)}
					sum := ^pseudoSum(k.between(n.client, n.vip))
					k.sum = &sum
					r.deferred(t, r.near, n, k.between(n.client, n.vip))
				}
				if n.source == n.client && k.method == DirectorMethodMETHOD_NAT {
					k := talk{udp: n.udp, flags: packet.ACK, payload: bytesOf(5)}
					sum := ^pseudoSum(k.between(n.server, n.source))
					k.sum = &sum
					r.deferred(t, r.far, n, k.between(n.server, n.source))
				}
			})
		}
	}
}

// pseudoSum is the checksum of the pseudo-header of a frame with no options.
func pseudoSum(frame []byte) uint16 {
	const link, v4, v6 = 14, 20, 40
	ip := frame[link:]
	var pseudo []byte
	if ip[0]>>4 == 6 {
		pseudo = append(pseudo, ip[8:v6]...)
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(ip)-v6))
		return packet.Checksum(append(pseudo, 0, ip[6]))
	}
	pseudo = append(pseudo, ip[12:v4]...)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(ip)-v4))
	return packet.Checksum(append(pseudo, 0, ip[9]))
}
