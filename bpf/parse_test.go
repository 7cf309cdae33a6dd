// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

func ptr[T any](v T) *T { return &v }

// TestPassed: packets that are none of ours stay as they are and are counted
// for nobody.
func TestPassed(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		other := netip.AddrPortFrom(e.vip.Addr(), 81)
		neighbour := netip.AddrPortFrom(e.vip.Addr().Next(), 80)
		syn := e.syn(mssOption(1460)...)
		with := func(change func(*packet.TCP)) []byte {
			p := syn
			change(&p)
			return p.Bytes()
		}
		for name, tt := range map[string]struct {
			frame   []byte
			verdict DirectorVerdict
		}{
			"arp": {packet.Raw{Src: e.client.Addr(), Dst: e.vip.Addr(), Payload: make([]byte, 30),
				Link: packet.Link{EtherType: packet.EtherTypeARP}}.Bytes(), DirectorVerdictPASS_NOT_IP},
			"three tags": {with(func(p *packet.TCP) { p.Link.VLANs = []uint16{1, 2, 3} }), DirectorVerdictPASS_NOT_IP},
			"udp":        {packet.UDP{Src: e.client, Dst: e.vip, Payload: make([]byte, 30)}.Bytes(), DirectorVerdictPASS_NO_SERVICE},
			"icmp":       {packet.ICMP{Src: e.client.Addr(), Dst: e.vip.Addr(), Type: 8}.Bytes(), DirectorVerdictPASS_PROTOCOL},
			"no next":    {packet.Raw{Src: e.client.Addr(), Dst: e.vip.Addr(), Proto: packet.ProtoNoNext}.Bytes(), DirectorVerdictPASS_PROTOCOL},
			"other port": {with(func(p *packet.TCP) { p.Dst = other }), DirectorVerdictPASS_NO_SERVICE},
			"other host": {with(func(p *packet.TCP) { p.Dst = neighbour }), DirectorVerdictPASS_NO_SERVICE},
			"way back":   {with(func(p *packet.TCP) { p.Src, p.Dst = p.Dst, p.Src }), DirectorVerdictPASS_NO_SERVICE},
		} {
			t.Run(name, func(t *testing.T) {
				r.check(t, tt.frame, outcome{verdict: tt.verdict})
			})
		}
	})
}

// TestTruncated cuts frames at every byte.
func TestTruncated(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		plain := e.syn(mssOption(1460)...)
		plain.Payload = []byte("0123456789")
		tagged, optioned := plain, plain
		tagged.Link.VLANs = []uint16{1, 2}
		optioned.IP.Options = make([]byte, 12)
		optioned.IP.Extensions = []packet.Extension{{Proto: packet.ProtoHopByHop}, {Proto: packet.ProtoDestOpts, Body: make([]byte, 14)}}
		for name, p := range map[string]packet.TCP{"plain": plain, "tagged": tagged, "optioned": optioned} {
			t.Run(name, func(t *testing.T) {
				frame := p.Bytes()
				// Less than a link header is no frame to the kernel either.
				for n := 14; n < len(frame); n++ {
					r.checkFrame(t, fmt.Sprint(n, " bytes"), frame[:n:n], outcome{verdict: DirectorVerdictPASS_MALFORMED})
				}
			})
		}
	})
}

func TestMalformed(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		fixed := uint16(e.headers) - 20 // bytes of the IP header that the length counts
		if e.client.Addr().Is6() {
			fixed = 0
		}
		tests := map[string]func(*packet.TCP){
			"version 0":            func(p *packet.TCP) { p.IP.Version = ptr(uint8(0)) },
			"version 5":            func(p *packet.TCP) { p.IP.Version = ptr(uint8(5)) },
			"version 15":           func(p *packet.TCP) { p.IP.Version = ptr(uint8(15)) },
			"length 0":             func(p *packet.TCP) { p.IP.Length = ptr(uint16(0)) },
			"length without TCP":   func(p *packet.TCP) { p.IP.Length = ptr(fixed) },
			"length of less TCP":   func(p *packet.TCP) { p.IP.Length = ptr(fixed + 19) },
			"length less options":  func(p *packet.TCP) { p.IP.Length = ptr(fixed + 23) },
			"length of one more":   func(p *packet.TCP) { p.IP.Length = ptr(fixed + 25) },
			"length 65535":         func(p *packet.TCP) { p.IP.Length = ptr(uint16(65535)) },
			"data offset too long": func(p *packet.TCP) { p.DataOffset = ptr(uint8(7)) },
			"data offset 15":       func(p *packet.TCP) { p.DataOffset = ptr(uint8(15)) },
			"seven extensions": func(p *packet.TCP) {
				p.IP.Extensions = make([]packet.Extension, 7)
				p.IP.Options = make([]byte, 4)
				p.IP.IHL = ptr(uint8(15))
			},
			"extension beyond the packet": func(p *packet.TCP) {
				p.IP.Extensions = []packet.Extension{{Proto: packet.ProtoDestOpts, Body: make([]byte, 246)}}
				p.IP.Length = ptr(uint16(40))
			},
		}
		for i := range uint8(5) {
			tests[fmt.Sprint("data offset ", i)] = func(p *packet.TCP) { p.DataOffset = ptr(i) }
			if e.client.Addr().Is4() {
				tests[fmt.Sprint("ihl ", i)] = func(p *packet.TCP) { p.IP.IHL = ptr(i) }
			}
		}
		for name, change := range tests {
			t.Run(name, func(t *testing.T) {
				syn := e.syn(mssOption(1460)...)
				change(&syn)
				r.check(t, syn.Bytes(), outcome{verdict: DirectorVerdictPASS_MALFORMED})
			})
		}
	})
}

// TestFragments: the first says whose it is; what is behind it says nothing.
func TestFragments(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		fragment := func(dst netip.AddrPort, offset uint16, more bool) []byte {
			p := e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: []byte("GET / HTTP/1.1\r\n\r\n")})
			p.Dst = dst
			p.IP.FragmentOffset, p.IP.MF = offset, more
			p.IP.Extensions = []packet.Extension{packet.Fragment(1, offset, more)}
			return p.Bytes()
		}
		other := netip.AddrPortFrom(e.vip.Addr(), 81)
		for _, tt := range []struct {
			name  string
			frame []byte
			want  outcome
		}{
			{"first", fragment(e.vip, 0, true), outcome{verdict: DirectorVerdictDROP_FRAGMENT, id: e.id}},
			{"first of another's", fragment(other, 0, true), outcome{verdict: DirectorVerdictPASS_NO_SERVICE}},
			{"second", fragment(e.vip, 8, true), outcome{verdict: DirectorVerdictPASS_FRAGMENT}},
			{"last", fragment(e.vip, 65528, false), outcome{verdict: DirectorVerdictPASS_FRAGMENT}},
		} {
			t.Run(tt.name, func(t *testing.T) { r.check(t, tt.frame, tt.want) })
		}
	})
}
