// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// datagrams is a rig with a UDP service of either IP version, and its clients.
func datagrams(t *testing.T) (*lane, []exchange) {
	t.Helper()
	es := exchanges()
	es[0].id, es[1].id = idUDP4, idUDP6
	return &lane{rig: newRig(t)}, es
}

func (l *lane) serveUDP(t *testing.T, page speechPage, s DirectorService) {
	t.Helper()
	l.putRow(t, 1, page.row())
	s.Page[0] = 1
	for _, e := range []struct {
		vip netip.AddrPort
		id  uint32
	}{{vip4, idUDP4}, {vip6, idUDP6}} {
		s.Id = e.id
		put(t, l.Services, endpoint(e.vip, packet.ProtoUDP), s)
	}
}

// answerToDatagram is what goes back: all of the client's headers that lead there.
func answerToDatagram(p packet.UDP, payload []byte) packet.UDP {
	link := packet.Link{Src: packet.DefaultDstMAC, Dst: packet.DefaultSrcMAC, VLANs: p.Link.VLANs, TPIDs: p.Link.TPIDs}
	if p.Link.Src != (packet.MAC{}) {
		link.Src, link.Dst = p.Link.Dst, p.Link.Src
	}
	return packet.UDP{Src: p.Dst, Dst: p.Src, Payload: payload, Checksum: p.Checksum, Link: link, IP: packet.IP{TTL: 64, ID: p.IP.ID}}
}

// TestDNSDatagram: the question comes back as it was but for two bytes.
func TestDNSDatagram(t *testing.T) {
	l, es := datagrams(t)
	l.serveUDP(t, dnsPage, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
	for _, e := range es {
		for name, q := range queries() {
			for _, ip := range []packet.IP{{}, {ID: 0x1234, TTL: 1, TOS: 0xb8, DF: true}} {
				p := packet.UDP{Src: e.client, Dst: e.vip, Payload: q, IP: ip}
				if e.vip.Addr().Is6() {
					p.IP.ID = 0
				}
				want := result{DirectorVerdictANSWER_DATAGRAM, e.id, answerToDatagram(p, failed(q)).Bytes()}
				for _, program := range l.programs() {
					t.Run(fmt.Sprint(e.name, ", ", name, ", ", program.name), func(t *testing.T) {
						l.expect(t, program, p.Bytes(), want)
					})
				}
			}
		}
	}
}

// TestDNSChecksums: none stays none, zero is never sent, and one that was wrong
// stays so.
func TestDNSChecksums(t *testing.T) {
	l, es := datagrams(t)
	l.serveUDP(t, dnsPage, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
	for _, e := range es {
		for _, program := range l.programs() {
			t.Run(e.name+", "+program.name, func(t *testing.T) {
				none := packet.UDP{Src: e.client, Dst: e.vip, Payload: query(1, 0, "a.example"), Checksum: new(uint16)}
				want := result{DirectorVerdictANSWER_DATAGRAM, e.id, answerToDatagram(none, failed(none.Payload)).Bytes()}
				if e.vip.Addr().Is6() {
					want = result{verdict: DirectorVerdictPASS_MALFORMED, id: e.id}
				}
				l.expect(t, program, none.Bytes(), want)

				// Every checksum that there is, and so zero among the answers'.
				zero := false
				for id := 0; id < 1<<16 && !zero; id++ {
					p := packet.UDP{Src: e.client, Dst: e.vip, Payload: query(uint16(id), 0, "a.example")}
					answer := answerToDatagram(p, failed(p.Payload)).Bytes()
					if at := len(answer) - len(p.Payload) - 2; binary.BigEndian.Uint16(answer[at:]) == 0xffff {
						l.expect(t, program, p.Bytes(), result{DirectorVerdictANSWER_DATAGRAM, e.id, answer})
						zero = true
					}
				}
				if !zero {
					t.Error("no answer has a checksum of zero")
				}

				p := packet.UDP{Src: e.client, Dst: e.vip, Payload: query(1, 0, "a.example")}
				frame, answer := p.Bytes(), answerToDatagram(p, failed(p.Payload)).Bytes()
				frame[len(frame)-1]++
				answer[len(answer)-1]++
				l.expect(t, program, frame, result{DirectorVerdictANSWER_DATAGRAM, e.id, answer})
			})
		}
	}
}

// TestDNSUnfinished: XDP leaves a checksum that the sender's device was to finish
// to tc, which knows.
func TestDNSUnfinished(t *testing.T) {
	l, es := datagrams(t)
	l.serveUDP(t, dnsPage, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
	for _, e := range es {
		t.Run(e.name, func(t *testing.T) {
			p := packet.UDP{Src: e.client, Dst: e.vip, Payload: query(1, 0, "a.example")}
			pseudo := ^packet.Checksum(slices.Concat(
				e.client.Addr().AsSlice(), e.vip.Addr().AsSlice(), []byte{0, packet.ProtoUDP, 0, byte(8 + len(p.Payload))}))
			p.Checksum = &pseudo
			l.expect(t, l.programs()[0], p.Bytes(), result{verdict: DirectorVerdictPASS_DEFERRED, id: e.id})
		})
	}
}

// TestDNSSilence: what is never answered.
func TestDNSSilence(t *testing.T) {
	l, es := datagrams(t)
	l.serveUDP(t, dnsPage, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
	q := query(1, recursive, "a.example")
	long, short := uint16(len(q)+9), uint16(8+11)
	for _, e := range es {
		from := func(a string, port uint16) packet.UDP {
			p := packet.UDP{Src: netip.AddrPortFrom(netip.MustParseAddr(a), port), Dst: e.vip, Payload: q}
			return p
		}
		client := e.client.Addr().String()
		group, nobody, own := "224.0.0.251", "0.0.0.0", "127.0.0.1"
		if e.vip.Addr().Is6() {
			group, nobody, own = "ff02::fb", "::", "ff05::1"
		}
		cases := map[string]struct {
			p       packet.UDP
			verdict DirectorVerdict
		}{
			"response":           {packet.UDP{Src: e.client, Dst: e.vip, Payload: query(1, response, "a.example")}, DirectorVerdictDROP_FLAGS},
			"our own answer":     {packet.UDP{Src: e.client, Dst: e.vip, Payload: failed(q)}, DirectorVerdictDROP_FLAGS},
			"port 0":             {from(client, 0), DirectorVerdictDROP_LIMIT},
			"from a group":       {from(group, 53), DirectorVerdictDROP_LIMIT},
			"from nobody":        {from(nobody, 53), DirectorVerdictDROP_LIMIT},
			"from loopback":      {from(own, 53), DirectorVerdictDROP_LIMIT},
			"no payload":         {packet.UDP{Src: e.client, Dst: e.vip}, DirectorVerdictDROP_PARTIAL},
			"less than a header": {packet.UDP{Src: e.client, Dst: e.vip, Payload: q[:11]}, DirectorVerdictDROP_PARTIAL},
			"too short a length": {packet.UDP{Src: e.client, Dst: e.vip, Payload: q, Length: &short}, DirectorVerdictDROP_PARTIAL},
			"too long a length":  {packet.UDP{Src: e.client, Dst: e.vip, Payload: q, Length: &long}, DirectorVerdictPASS_MALFORMED},
			"first fragment": {packet.UDP{Src: e.client, Dst: e.vip, Payload: q, IP: packet.IP{
				MF: true, Extensions: []packet.Extension{packet.Fragment(7, 0, true)},
			}}, DirectorVerdictDROP_FRAGMENT},
		}
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			for _, program := range l.programs() {
				t.Run(fmt.Sprint(e.name, ", ", name, ", ", program.name), func(t *testing.T) {
					want := result{verdict: cases[name].verdict, id: e.id}
					if want.verdict == DirectorVerdictPASS_MALFORMED {
						want.id = 0
					}
					l.expect(t, program, cases[name].p.Bytes(), want)
				})
			}
		}
	}
}

// TestDNSHeaders: of the headers none but the fixed ones goes back, nor what
// stands behind the message.
func TestDNSHeaders(t *testing.T) {
	l, es := datagrams(t)
	l.serveUDP(t, dnsPage, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
	q := query(1, recursive, "www.example.net", edns...)
	for _, e := range es {
		cases := headerCases()
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			for _, program := range l.programs() {
				t.Run(fmt.Sprint(e.name, ", ", name, ", ", program.name), func(t *testing.T) {
					var around packet.TCP
					cases[name](&around)
					p := packet.UDP{Src: e.client, Dst: e.vip, Payload: q, IP: around.IP, Link: around.Link}
					want := result{DirectorVerdictANSWER_DATAGRAM, e.id, answerToDatagram(p, failed(q)).Bytes()}
					more := p.IP.Options != nil && e.vip.Addr().Is4() || p.IP.Extensions != nil && e.vip.Addr().Is6()
					if program.name == "tc" && p.Link.VLANs != nil && more { // see headedBut
						want = result{verdict: DirectorVerdictDROP_ERROR, id: e.id}
					}
					l.expect(t, program, p.Bytes(), want)
				})
			}
		}
		t.Run(e.name+", behind the datagram", func(t *testing.T) {
			p := packet.UDP{Src: e.client, Dst: e.vip, Payload: q}
			want := answerToDatagram(p, failed(q)).Bytes()
			frame := p.Bytes()
			sum := binary.BigEndian.Uint16(frame[len(frame)-len(q)-2:])
			length := uint16(8 + len(q))
			p.Payload, p.Length, p.Checksum = append(slices.Clone(q), "more"...), &length, &sum
			for _, program := range l.programs() {
				l.expect(t, program, p.Bytes(), result{DirectorVerdictANSWER_DATAGRAM, e.id, want})
			}
		})
	}
}
