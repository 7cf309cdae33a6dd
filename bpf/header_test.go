// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// headerCases change what is around a TCP segment and is not answered with.
func headerCases() map[string]func(*packet.TCP) {
	extensions := func(list ...packet.Extension) func(*packet.TCP) {
		return func(p *packet.TCP) { p.IP.Extensions = list }
	}
	options := func(n int) func(*packet.TCP) {
		return func(p *packet.TCP) { p.IP.Options = make([]byte, n) }
	}
	hop := packet.Extension{Proto: packet.ProtoHopByHop, Body: []byte{5, 2, 0, 0}}
	routing := packet.Extension{Proto: packet.ProtoRouting, Body: make([]byte, 22)}
	destination := packet.Extension{Proto: packet.ProtoDestOpts, Body: make([]byte, 62)}
	return map[string]func(*packet.TCP){
		"ipv4 option":      options(4),
		"ipv4 options, 12": options(12),
		"ipv4 options, 40": options(40),
		"hop by hop":       extensions(hop),
		"routing":          extensions(routing),
		"destination":      extensions(destination),
		"chain":            extensions(hop, destination, routing, destination),
		"atomic fragment":  extensions(packet.Fragment(1, 0, false)),
		"six":              extensions(hop, hop, hop, hop, hop, hop),
		"vlan":             func(p *packet.TCP) { p.Link.VLANs = []uint16{0xa123} },
		"service vlan": func(p *packet.TCP) {
			p.Link.VLANs, p.Link.TPIDs = []uint16{7}, []uint16{packet.TPID8021AD}
		},
		"two vlans": func(p *packet.TCP) { p.Link.VLANs = []uint16{100, 0xe200} },
		"two vlans of one kind": func(p *packet.TCP) {
			p.Link.VLANs, p.Link.TPIDs = []uint16{100, 200}, []uint16{packet.TPID8021Q, packet.TPID8021Q}
		},
		"vlan and options": func(p *packet.TCP) {
			p.Link.VLANs = []uint16{1}
			options(8)(p)
			extensions(hop, routing)(p)
		},
		"two vlans and options": func(p *packet.TCP) {
			p.Link.VLANs = []uint16{1, 2}
			options(8)(p)
			extensions(hop, routing)(p)
		},
		"padding": func(p *packet.TCP) { p.Link.Trailer = make([]byte, 6) },
		"much padding": func(p *packet.TCP) {
			p.Link.Trailer = make([]byte, 1500)
			for i := range p.Link.Trailer {
				p.Link.Trailer[i] = 0xee
			}
		},
		"addresses": func(p *packet.TCP) {
			p.Link.Src, p.Link.Dst = packet.MAC{1, 2, 3, 4, 5, 6}, packet.MAC{8, 7, 6, 5, 4, 3}
		},
	}
}

// TestHeaders: an answer has the link's addresses and tags, and no IP options
// or extension headers, be it longer or shorter than what it answers.
func TestHeaders(t *testing.T) {
	r := newRig(t)
	page := testPage(20000, 100)
	each(t, func(t *testing.T, e exchange) {
		for name, change := range headerCases() {
			t.Run(name, func(t *testing.T) {
				syn := e.syn(mssOption(1460)...)
				change(&syn)
				t.Run("syn", func(t *testing.T) {
					r.check(t, syn.Bytes(), e.synAck(syn, classOf(e.most), 0, uint16(e.most)))
				})
				ack := e.at(key0, 3, 0, 3001, packet.TCP{Window: 65535, Payload: []byte("x")})
				change(&ack)
				t.Run("grows", func(t *testing.T) {
					want := page.segmentFor(ack, 3001, 20000, 1440)
					want.id = e.id
					r.check(t, ack.Bytes(), want)
				})
				data := e.at(key0, 3, 0, 20001, packet.TCP{Window: 65535, Payload: make([]byte, 1000)})
				change(&data)
				t.Run("shrinks", func(t *testing.T) {
					r.check(t, data.Bytes(), outcome{DirectorVerdictANSWER_ACK, e.id, answerTo(data, packet.TCP{
						Seq: data.Ack, Ack: end(data), Flags: packet.ACK,
					})})
				})
			})
		}
	})
}
