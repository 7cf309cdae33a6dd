// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// TestPageSwap: an exchange ends with the page that it began on, and new ones
// begin on the new page.
func TestPageSwap(t *testing.T) {
	r := newRig(t)
	pages := [2]testResponse{testPage(20000, 100), testPage(7777, 77)}
	r.putPage(t, 2, pages[1])
	for _, current := range []uint32{0, 1, 0} {
		r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Current: current, Page: [2]uint32{1, 2}})
		each(t, func(t *testing.T, e exchange) {
			syn := e.syn(mssOption(1460)...)
			r.check(t, syn.Bytes(), e.synAck(syn, classOf(e.most), current, uint16(e.most)))
			for g, page := range pages {
				for _, offset := range []int{5001, len(page.bytes) - 1, len(page.bytes)} {
					p := e.at(key0, 3, uint32(g), uint32(offset), packet.TCP{Window: 65535})
					want := page.segmentFor(p, offset, len(page.bytes), 1440)
					want.id = e.id
					r.check(t, p.Bytes(), want)
				}
			}
			// The end of the one page is no end of the other.
			p := e.at(key0, 3, 1, 20001, packet.TCP{Window: 65535})
			r.check(t, p.Bytes(), outcome{DirectorVerdictANSWER_RESET, e.id, answerTo(p, packet.TCP{Seq: p.Ack, Flags: packet.RST})})
		})
	}
}

// TestPageOfAnotherTime: where a second change has put another page in the place
// of the one that an exchange began on, the client gets a reset and no mixture.
func TestPageOfAnotherTime(t *testing.T) {
	r := newRig(t)
	const salt = 0xfedcba98
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{1, 0}, Salt: [2]uint32{salt, 0}})
	page := testPage(20000, 100)
	each(t, func(t *testing.T, e exchange) {
		syn := e.syn(mssOption(1460)...)
		want := e.synAck(syn, classOf(e.most), 0, uint16(e.most))
		want.reply.Seq ^= salt &^ (7 << 16)
		want.reply = answerTo(syn, *want.reply)
		r.check(t, syn.Bytes(), want)

		old := e.at(key0, 3, 0, 1440, packet.TCP{Window: 65535})
		r.check(t, old.Bytes(), outcome{DirectorVerdictANSWER_RESET, e.id, answerTo(old, packet.TCP{Seq: old.Ack, Flags: packet.RST})})

		now := e.segment(packet.TCP{Window: 65535, Flags: packet.ACK})
		now.Ack = (isn(key0, e.client, e.vip, 3, 0) ^ salt&^uint32(7<<16)) + 1 + 1440
		segment := page.segmentFor(now, 1440, 20000, 1440)
		segment.id = e.id
		r.check(t, now.Bytes(), segment)
	})
}

// TestMissingPage: what the maps lack is never sent.
func TestMissingPage(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		get := e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: []byte("GET / HTTP/1.1\r\n\r\n")})
		syn := e.syn(mssOption(1460)...)
		for _, current := range []uint32{0, 1} {
			r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Current: current})
			for _, p := range []packet.TCP{syn, get} {
				r.check(t, p.Bytes(), outcome{verdict: DirectorVerdictPASS_NO_PAGE, id: e.id})
			}
		}
		for name, slot := range map[string]uint32{"empty slot": 9, "no such slot": 1 << 20} {
			t.Run(name, func(t *testing.T) {
				r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{slot, slot}})
				r.check(t, get.Bytes(), outcome{DirectorVerdictANSWER_RESET, e.id, answerTo(get, packet.TCP{Seq: get.Ack, Flags: packet.RST})})
			})
		}
	})
}
