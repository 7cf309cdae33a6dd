// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// salts of two pages, such as user space gives them.
var salts = [2]uint32{0x12345678, 0xfedcba98}

// TestPageSwap: an exchange ends with the page that it began on, and new ones
// begin on the new page. Which of the two places a page is in is all the same.
func TestPageSwap(t *testing.T) {
	r := newRig(t)
	pages := [2]testResponse{testPage(20000, 100), testPage(7777, 77)}
	r.putPage(t, 2, pages[1])
	for _, row := range []DirectorService{
		{Page: [2]uint32{1, 2}, Salt: salts},
		{Page: [2]uint32{1, 2}, Salt: salts, Current: 1},
		{Page: [2]uint32{2, 1}, Salt: [2]uint32{salts[1], salts[0]}},
		{Page: [2]uint32{2, 1}, Salt: [2]uint32{salts[1], salts[0]}, Current: 1},
	} {
		row.Mode = DirectorServiceModeMODE_SORRY
		r.serve(t, row)
		each(t, func(t *testing.T, e exchange) {
			syn := e.syn(mssOption(1460)...)
			r.check(t, syn.Bytes(), e.synAck(syn, classOf(e.most), row.Salt[row.Current], uint16(e.most)))
			for g, page := range pages {
				for _, offset := range []int{5001, len(page.bytes) - 1, len(page.bytes)} {
					p := e.at(key0, 3, salts[g], uint32(offset), packet.TCP{Window: 65535})
					want := page.segmentFor(p, offset, len(page.bytes), 1440)
					want.id = e.id
					r.check(t, p.Bytes(), want)
				}
			}
			// The end of the one page is no end of the other.
			r.check(t, e.foreign(3, salts[1], 20001).Bytes(), e.reset(3, salts[1], 20001))
		})
	}
}

// foreign is an acknowledgement of an exchange that none of the rows is about.
func (e exchange) foreign(class, salt, offset uint32) packet.TCP {
	return e.at(key0, class, salt, offset, packet.TCP{Window: 65535})
}

// reset is what becomes of it.
func (e exchange) reset(class, salt, offset uint32) outcome {
	p := e.foreign(class, salt, offset)
	return outcome{DirectorVerdictANSWER_RESET, e.id, answerTo(p, packet.TCP{Seq: p.Ack, Flags: packet.RST})}
}

// TestPageOfAnotherTime: where a second change has put another page in the place
// of the one that an exchange began on, the client gets a reset and no mixture.
func TestPageOfAnotherTime(t *testing.T) {
	r := newRig(t)
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{1, 0}, Salt: [2]uint32{salts[1], 0}})
	page := testPage(20000, 100)
	each(t, func(t *testing.T, e exchange) {
		syn := e.syn(mssOption(1460)...)
		r.check(t, syn.Bytes(), e.synAck(syn, classOf(e.most), salts[1], uint16(e.most)))
		// An empty place says nothing, whatever its salt.
		for _, salt := range []uint32{salts[0], 0} {
			r.check(t, e.foreign(3, salt, 1440).Bytes(), e.reset(3, salt, 1440))
		}
		now := e.at(key0, 3, salts[1], 1440, packet.TCP{Window: 65535})
		segment := page.segmentFor(now, 1440, 20000, 1440)
		segment.id = e.id
		r.check(t, now.Bytes(), segment)
	})
}

// TestPagesAreNeverMistaken: over many connections no acknowledgement of an
// exchange of the one page is one of the other, where their salts differ as user
// space has them differ.
func TestPagesAreNeverMistaken(t *testing.T) {
	r := newRig(t)
	const seed = 3
	random := rand.New(rand.NewPCG(seed, seed))
	rows := 2000
	if testing.Short() {
		rows = 200
	}
	// Under another key a number is right by chance once in 16384 times.
	r.set(t, DirectorSetting{Keys: [2]DirectorCookieKey{key0, key0}, ResetLimit: 1 << 30})
	page := testPage(65534, 100)
	r.putPage(t, 1, page)
	for i := range rows {
		mine, other := random.Uint32(), random.Uint32()
		if (mine^other)>>19 == 0 {
			continue
		}
		r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{1, 0}, Salt: [2]uint32{mine, 0}})
		e := exchanges()[i%2]
		e.client = randomClient(random, e.client)
		class, offset := random.Uint32N(4), 1+random.Uint32N(65535)
		r.checkFrame(t, fmt.Sprintf("seed %d, row %d", seed, i), e.foreign(class, other, offset).Bytes(), e.reset(class, other, offset))
	}
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
