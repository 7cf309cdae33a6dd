// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// quoteForms are the forms in which a frame is quoted: how much of the packet is
// there behind the IP header.
func quoteForms(udp bool) map[string]int {
	forms := map[string]int{"8 bytes": 8, "13 bytes": 13, "29 bytes": 29, "whole": 400}
	if !udp {
		forms["to the checksum"], forms["with the checksum"] = 16, 18
	}
	return forms
}

// quoted is what an ICMP error quotes of a frame without extension headers.
func quoted(frame []byte, size int) []byte {
	const v4, v6 = 20, 40
	d := packet.Datagram(frame)
	header := v4
	if d[0]>>4 == 6 {
		header = v6
	}
	return d[:min(len(d), header+size)]
}

// natError is an error about a packet of a flow, before and after the director.
type natError struct {
	about, aboutThen []byte // the frames that are quoted
	end, endThen     netip.Addr
	from             int // the interface
	link, linkThen   packet.MAC
}

// natErrors are one to the client and one to the server.
func (r *forwardRig) natErrors(n nat, k talk) map[string]natError {
	return map[string]natError{
		"to the client": {
			k.between(n.source, n.server), k.between(n.client, n.vip),
			n.server.Addr(), n.vip.Addr(), r.far, r.nearMAC, clientMAC,
		},
		"to the server": {
			k.between(n.vip, n.client), k.between(n.server, n.source),
			n.client.Addr(), n.source.Addr(), r.near, r.farMAC, serverMAC(n.row),
		},
	}
}

// TestNATErrors: an error comes to the end that it is for, about the packet that
// this end has sent, from the router that it is of, or from the other end as this
// one knows it.
func TestNATErrors(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		zero := uint16(0)
		talks := map[string]talk{"": {udp: n.udp, flags: packet.ACK, payload: bytesOf(300), ip: packet.IP{ID: 9, DF: true}}}
		if n.udp {
			talks["no checksum, "] = talk{udp: true, payload: bytesOf(300), sum: &zero}
		}
		for kind, k := range talks {
			for side, e := range r.natErrors(n, k) {
				for form, size := range quoteForms(n.udp) {
					t.Run(fmt.Sprintf("%s, %s%s", side, kind, form), func(t *testing.T) {
						r.natErrorIs(t, p, n, e, size)
					})
				}
			}
		}
		if f, _ := r.flow(t, n.traffic); f.State != DirectorFlowStateFLOW_NEW {
			t.Errorf("errors have changed the flow: %+v", f)
		}
	})
}

func (r *forwardRig) natErrorIs(t *testing.T, p program, n nat, e natError, size int) {
	t.Helper()
	p.from = e.from
	for _, kind := range errorKinds(n.vip.Addr().Is6()) {
		for _, own := range []bool{false, true} {
			m := errorOf(quoted(e.about, size), kind[0], kind[1], 1400)
			want := errorOf(quoted(e.aboutThen, size), kind[0], kind[1], 1400)
			if own {
				m.Src, want.Src = e.end, e.endThen
			}
			if p.name == "xdp" {
				other := n.traffic
				other.id = 0
				r.passed(t, p, other, m.Bytes(), DirectorVerdictPASS_PROTOCOL, nil)
				continue
			}
			m.Link.VLANs = []uint16{5}
			r.passed(t, p, n.traffic, m.Bytes(), DirectorVerdictFORWARD_ERROR, hopped(want.Bytes(), e.link, e.linkThen, false))
		}
	}
}

// TestNATErrorsOfOthers: what concerns no flow is left alone.
func TestNATErrorsOfOthers(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		if p.name == "xdp" {
			return
		}
		other := n.traffic
		other.id = 0
		k := talk{udp: n.udp, flags: packet.ACK, payload: bytesOf(300)}
		left := func(name string, e natError) {
			t.Helper()
			t.Run(name, func(t *testing.T) {
				t.Helper()
				p.from = e.from
				m := errorOf(quoted(e.about, 8), 3, 1, 0)
				r.passed(t, p, other, m.Bytes(), DirectorVerdictPASS_PROTOCOL, nil)
			})
		}
		left("no flow", r.natErrors(n, k)["to the client"])
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		stranger := n
		stranger.source = netip.AddrPortFrom(n.source.Addr(), n.source.Port()+1)
		left("another port", r.natErrors(stranger, k)["to the client"])
		stranger = n
		stranger.server = netip.AddrPortFrom(n.server.Addr().Next(), n.server.Port())
		left("another server", r.natErrors(stranger, k)["to the client"])
		stranger = n
		stranger.vip = netip.AddrPortFrom(n.vip.Addr(), n.vip.Port()+1)
		left("another service", r.natErrors(stranger, k)["to the server"])
	})
}
