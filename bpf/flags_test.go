// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

const (
	pageLength = 20000
	headLength = 100
	wholePage  = pageLength + 1 // offset behind the FIN
)

// flagCase is a segment, and what it deserves of a service that is sorry.
type flagCase struct {
	name    string
	orphan  bool // its acknowledgement is not one of ours
	offset  uint32
	flags   packet.Flags
	payload int
	verdict DirectorVerdict
	answer  packet.Flags // with no payload
}

func flagCases() []flagCase {
	const valid, orphan = false, true
	fin, syn, rst, psh, ack, urg := packet.FIN, packet.SYN, packet.RST, packet.PSH, packet.ACK, packet.URG
	return []flagCase{
		{"handshake", valid, 0, ack, 0, DirectorVerdictDROP_ACK, 0},
		{"handshake with push", valid, 0, ack | psh, 0, DirectorVerdictDROP_ACK, 0},
		{"fin of all bytes", valid, pageLength, ack | fin, 0, DirectorVerdictANSWER_LAST, ack | psh | fin},
		{"ack of all bytes", valid, pageLength, ack, 0, DirectorVerdictANSWER_LAST, ack | psh | fin},
		{"ack of our fin", valid, wholePage, ack, 0, DirectorVerdictDROP_DONE, 0},
		{"fin after our fin", valid, wholePage, ack | fin, 0, DirectorVerdictANSWER_ACK, ack},
		{"keep-alive byte", valid, wholePage, ack, 1, DirectorVerdictANSWER_ACK, ack},
		{"data after the end", valid, wholePage, ack | psh, 1400, DirectorVerdictANSWER_ACK, ack},
		{"data and fin after the end", valid, wholePage, ack | fin, 1400, DirectorVerdictANSWER_ACK, ack},
		{"ack of the header's fin", valid, headLength + 1, ack, 0, DirectorVerdictDROP_DONE, 0},
		{"fin after the header's fin", valid, headLength + 1, ack | fin, 0, DirectorVerdictANSWER_ACK, ack},
		{"reset at the start", valid, 0, ack | rst, 0, DirectorVerdictDROP_RESET, 0},
		{"reset in the page", valid, 1220, ack | rst, 0, DirectorVerdictDROP_RESET, 0},
		{"reset at the end", valid, wholePage, ack | rst, 0, DirectorVerdictDROP_RESET, 0},
		{"reset without ack", valid, wholePage, rst, 0, DirectorVerdictDROP_ORPHAN, 0},
		{"reset without cookie", orphan, 0, ack | rst, 0, DirectorVerdictDROP_ORPHAN, 0},
		{"beyond the end", valid, wholePage + 1, ack, 0, DirectorVerdictANSWER_RESET, rst},
		{"orphan", orphan, 0, ack, 0, DirectorVerdictANSWER_RESET, rst},
		{"orphan with data", orphan, 0, ack | psh, 1400, DirectorVerdictANSWER_RESET, rst},
		{"orphan's fin", orphan, 0, ack | fin, 0, DirectorVerdictANSWER_RESET, rst},
		{"syn and ack", orphan, 0, syn | ack, 0, DirectorVerdictANSWER_RESET, rst},
		{"syn and ack, cookie", valid, 0, syn | ack, 0, DirectorVerdictANSWER_RESET, rst},
		{"syn and reset", orphan, 0, syn | rst, 0, DirectorVerdictDROP_ORPHAN, 0},
		{"syn, ack and reset", orphan, 0, syn | ack | rst, 0, DirectorVerdictDROP_ORPHAN, 0},
		{"syn and fin", orphan, 0, syn | fin, 0, DirectorVerdictDROP_FLAGS, 0},
		{"syn, fin and ack", valid, 0, syn | fin | ack, 0, DirectorVerdictDROP_FLAGS, 0},
		{"null", orphan, 0, 0, 0, DirectorVerdictDROP_FLAGS, 0},
		{"null with data", valid, 0, 0, 100, DirectorVerdictDROP_FLAGS, 0},
		{"fin alone", valid, 0, fin, 0, DirectorVerdictDROP_FLAGS, 0},
		{"xmas", orphan, 0, fin | psh | urg, 0, DirectorVerdictDROP_FLAGS, 0},
		{"all", valid, 0, 0xff, 0, DirectorVerdictDROP_FLAGS, 0},
	}
}

func (c flagCase) segment(e exchange) packet.TCP {
	key := key0
	if c.orphan {
		key = key2
	}
	p := e.at(key, 1, 0, c.offset, packet.TCP{Window: 65535, Payload: tail(make([]byte, c.payload))})
	p.Flags = c.flags
	return p
}

func (c flagCase) outcome(e exchange, p packet.TCP) outcome {
	want := outcome{verdict: c.verdict, id: e.id}
	switch {
	case c.answer&packet.RST != 0: // RFC 9293, 3.5.2: the sequence number is enough
		want.reply = answerTo(p, packet.TCP{Seq: p.Ack, Flags: c.answer})
	case c.answer != 0:
		want.reply = answerTo(p, packet.TCP{Seq: p.Ack, Ack: end(p), Flags: c.answer})
	}
	return want
}

func TestFlags(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		for _, c := range flagCases() {
			t.Run(c.name, func(t *testing.T) {
				p := c.segment(e)
				r.check(t, p.Bytes(), c.outcome(e, p))
			})
		}
	})
}

// TestServe: a service that has its servers is not touched.
func TestServe(t *testing.T) {
	r := newRig(t)
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SERVE, Page: [2]uint32{1, 0}})
	each(t, func(t *testing.T, e exchange) {
		for _, c := range append(flagCases(), flagCase{name: "syn", flags: packet.SYN}) {
			t.Run(c.name, func(t *testing.T) {
				p := c.segment(e)
				r.check(t, p.Bytes(), outcome{verdict: DirectorVerdictPASS_SERVED, id: e.id})
			})
		}
	})
}

// TestLinger: a service that is back ends the exchanges of its page, and gets
// everything else; so does one that turns a part of the new connections away, of
// which there is none here.
func TestLinger(t *testing.T) {
	for name, mode := range map[string]DirectorServiceMode{
		"linger": DirectorServiceModeMODE_LINGER, "shed": DirectorServiceModeMODE_SHED,
	} {
		t.Run(name, func(t *testing.T) { testLinger(t, mode) })
	}
}

func testLinger(t *testing.T, mode DirectorServiceMode) {
	t.Helper()
	r := newRig(t)
	r.serve(t, DirectorService{Mode: mode, Page: [2]uint32{1, 0}})
	page := testPage(pageLength, headLength)
	each(t, func(t *testing.T, e exchange) {
		for _, c := range append(flagCases(), flagCase{name: "syn", flags: packet.SYN}) {
			t.Run(c.name, func(t *testing.T) {
				p := c.segment(e)
				want := c.outcome(e, p)
				ours := !c.orphan && c.offset <= wholePage && c.flags&(packet.SYN|packet.ACK) == packet.ACK
				if !ours {
					want = outcome{verdict: DirectorVerdictPASS_LINGER, id: e.id}
				}
				r.check(t, p.Bytes(), want)
			})
		}
		t.Run("page", func(t *testing.T) {
			p := e.at(key0, 1, 0, 1220, packet.TCP{Window: 65535})
			want := page.segmentFor(p, 1220, pageLength, 1220)
			want.id = e.id
			r.check(t, p.Bytes(), want)
		})
		t.Run("first fragment", func(t *testing.T) {
			p := e.at(key0, 1, 0, 1220, packet.TCP{Window: 65535})
			p.IP.MF = true
			p.IP.Extensions = []packet.Extension{packet.Fragment(1, 0, true)}
			r.check(t, p.Bytes(), outcome{verdict: DirectorVerdictPASS_LINGER, id: e.id})
		})
	})
}

// TestOthersAreNotTakenForOurs: an acknowledgement of a connection to a real server
// may come upon one of our numbers. What has options is of no exchange, since we
// agree to none; where others are passed on, only the ends of our segments count.
func TestOthersAreNotTakenForOurs(t *testing.T) {
	r := newRig(t)
	rows := map[DirectorVerdict]DirectorService{
		DirectorVerdictPASS_LINGER:  {Mode: DirectorServiceModeMODE_SHED, Shed: 1 << 31},
		DirectorVerdictPASS_ORPHAN:  {Mode: DirectorServiceModeMODE_SORRY, Orphans: DirectorOrphanFateORPHAN_PASS},
		DirectorVerdictANSWER_RESET: {Mode: DirectorServiceModeMODE_SORRY},
	}
	page := testPage(pageLength, headLength)
	for verdict, row := range rows {
		row.Page = [2]uint32{1, 0}
		r.serve(t, row)
		each(t, func(t *testing.T, e exchange) {
			ask := func(offset uint32, options []byte, own bool) {
				p := e.at(key0, 1, 0, offset, packet.TCP{Window: 65535, Options: options})
				want := outcome{verdict: verdict, id: e.id}
				switch {
				case own && offset == headLength+1:
					want.verdict = DirectorVerdictDROP_DONE
				case own:
					want = page.segmentFor(p, int(offset), pageLength, 1220)
					want.id = e.id
				case verdict == DirectorVerdictANSWER_RESET:
					want.reply = answerTo(p, packet.TCP{Seq: p.Ack, Flags: packet.RST})
				}
				t.Run(fmt.Sprintf("%s, offset %d, %d bytes of options", r.names[verdict], offset, len(options)), func(t *testing.T) {
					r.check(t, p.Bytes(), want)
				})
			}
			ask(1220, []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, false)
			for _, offset := range []uint32{64, 1220, 2440, 4096, headLength, headLength + 1, pageLength} {
				ask(offset, nil, true)
			}
			for _, offset := range []uint32{1, 63, 1219, 1221, 1440, pageLength - 1} {
				ask(offset, nil, verdict == DirectorVerdictANSWER_RESET)
			}
		})
	}
}

// TestOrphans: what becomes of a connection from before the outage is a choice.
func TestOrphans(t *testing.T) {
	r := newRig(t)
	for fate, verdict := range map[DirectorOrphanFate]DirectorVerdict{
		DirectorOrphanFateORPHAN_PASS: DirectorVerdictPASS_ORPHAN,
		DirectorOrphanFateORPHAN_DROP: DirectorVerdictDROP_ORPHAN,
	} {
		r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Orphans: fate, Page: [2]uint32{1, 0}})
		each(t, func(t *testing.T, e exchange) {
			for _, flags := range []packet.Flags{packet.ACK, packet.ACK | packet.FIN, packet.RST, packet.SYN | packet.ACK} {
				t.Run(r.names[verdict]+" "+flags.String(), func(t *testing.T) {
					p := e.at(key2, 0, 0, 0, packet.TCP{})
					p.Flags = flags
					r.check(t, p.Bytes(), outcome{verdict: verdict, id: e.id})
				})
			}
		})
	}
}

// TestResetLimit: a flood of orphans is not answered by a flood of resets.
func TestResetLimit(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		orphan := e.at(key2, 0, 0, 0, packet.TCP{}).Bytes()
		r.set(t, DirectorSetting{Keys: [2]DirectorCookieKey{key0, key1}})
		t.Run("none", func(t *testing.T) {
			r.check(t, orphan, outcome{verdict: DirectorVerdictDROP_LIMIT, id: e.id})
		})
		const limit, flood = 5, 2000
		if err := r.Resets.Put(uint32(0), make([]DirectorBudget, ebpf.MustPossibleCPU())); err != nil {
			t.Fatal(err)
		}
		r.set(t, DirectorSetting{Keys: [2]DirectorCookieKey{key0, key1}, ResetLimit: limit})
		start, resets := time.Now(), uint64(0)
		for range flood {
			ret, _, err := r.programs()[0].run(orphan)
			if err != nil {
				t.Fatal(err)
			}
			if ret == r.programs()[0].send {
				resets++
			}
		}
		windows := uint64(time.Since(start)/(100*time.Millisecond)) + 2
		if most := windows * limit * uint64(ebpf.MustPossibleCPU()); resets < limit || resets > most {
			t.Errorf("%d resets in %d windows, want %d to %d", resets, windows, limit, most)
		}
	})
}
