// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// speechPage is a page of another protocol than HTTP.
type speechPage struct {
	testResponse
	speech DirectorSpeech
}

func (p speechPage) row() *DirectorPage {
	row := p.testResponse.row()
	row.Speech = p.speech
	return row
}

// turn is one segment of a client's in an exchange, and what it brings.
type turn struct {
	name    string
	offset  uint32 // of the next byte that the client wants
	says    string
	fin     bool
	window  uint16 // 0: all that there is
	class   uint32 // of the exchange
	verdict DirectorVerdict
	answer  []byte
	unsaid  uint32 // bytes at the end of what the client says that are not acknowledged
	twice   bool   // the answer is sent so, which XDP leaves to tc
}

func (x turn) segment(e exchange) packet.TCP {
	p := packet.TCP{Window: x.window, Payload: tail([]byte(x.says))}
	if x.window == 0 {
		p.Window = 65535
	}
	if len(p.Payload) > 0 {
		p.Flags = packet.PSH
	}
	if x.fin {
		p.Flags |= packet.FIN
	}
	return e.at(key0, x.class, 0, x.offset, p)
}

// check runs the turn's segment through both programs.
func (x turn) check(t *testing.T, r *rig, e exchange, p packet.TCP) {
	t.Helper()
	for _, program := range r.programs() {
		t.Run(program.name, func(t *testing.T) {
			t.Helper()
			r.checkOne(t, program, p.Bytes(), x.outcome(program, e, p))
		})
	}
}

// outcome follows from the verdict: what ends an exchange has a FIN.
func (x turn) outcome(program program, e exchange, p packet.TCP) outcome {
	want := outcome{verdict: x.verdict, id: e.id}
	if x.twice && program.name == "xdp" {
		want.verdict = DirectorVerdictPASS_DEFERRED
		return want
	}
	reply := packet.TCP{Seq: p.Ack, Ack: end(p) - x.unsaid, Flags: packet.ACK, Payload: tail(x.answer)}
	flags, answers := map[DirectorVerdict]packet.Flags{
		DirectorVerdictANSWER_LAST:    packet.PSH | packet.FIN,
		DirectorVerdictANSWER_SEGMENT: packet.PSH,
		DirectorVerdictANSWER_TURN:    packet.PSH,
		DirectorVerdictANSWER_ACK:     0,
	}[x.verdict]
	if !answers {
		return want
	}
	reply.Flags |= flags
	want.reply = answerTo(p, reply)
	return want
}

// plays runs the turns of a page: while its service is sorry and in the linger
// after that, with the headers that a packet may have besides.
func (r *rig) plays(t *testing.T, page speechPage, turns []turn) {
	t.Helper()
	r.putRow(t, 1, page.row())
	for mode, s := range map[string]DirectorService{
		"sorry":         {Mode: DirectorServiceModeMODE_SORRY},
		"orphans pass":  {Mode: DirectorServiceModeMODE_SORRY, Orphans: DirectorOrphanFateORPHAN_PASS},
		"linger":        {Mode: DirectorServiceModeMODE_LINGER},
		"sorry, 2 tags": {Mode: DirectorServiceModeMODE_SORRY},
	} {
		s.Page[0] = 1
		r.serve(t, s)
		each(t, func(t *testing.T, e exchange) {
			for _, x := range turns {
				t.Run(fmt.Sprintf("%s, %s", mode, x.name), func(t *testing.T) {
					p := x.segment(e)
					if mode == "sorry, 2 tags" {
						p.Link.VLANs = []uint16{7, 8}
					}
					x.check(t, r, e, p)
				})
			}
		})
	}
}

// orphaned: whatever the page, others' connections meet the fate that their
// service says.
func (r *rig) orphaned(t *testing.T, page speechPage) {
	t.Helper()
	r.putRow(t, 1, page.row())
	for fate, verdict := range map[DirectorOrphanFate]DirectorVerdict{
		DirectorOrphanFateORPHAN_RESET: DirectorVerdictANSWER_RESET,
		DirectorOrphanFateORPHAN_PASS:  DirectorVerdictPASS_ORPHAN,
		DirectorOrphanFateORPHAN_DROP:  DirectorVerdictDROP_ORPHAN,
	} {
		r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Orphans: fate, Page: [2]uint32{1, 0}})
		each(t, func(t *testing.T, e exchange) {
			for name, payload := range map[string]string{"ack": "", "data": "SELECT 1"} {
				t.Run(fmt.Sprintf("orphan %d, %s", fate, name), func(t *testing.T) {
					p := e.at(key2, 1, 0, 0, packet.TCP{Window: 65535, Payload: tail([]byte(payload))})
					want := outcome{verdict: verdict, id: e.id}
					if verdict == DirectorVerdictANSWER_RESET {
						want.reply = answerTo(p, packet.TCP{Seq: p.Ack, Flags: packet.RST})
					}
					r.check(t, p.Bytes(), want)
				})
			}
		})
	}
}

// headed shows that a segment is answered whatever IP headers it has.
func (r *rig) headed(t *testing.T, page speechPage, x turn) {
	t.Helper()
	r.headedBut(t, page, x, x)
}

// headedBut is headed, with another outcome where tc can't take headers out and
// leave the rest in its place: behind a tag that stands in the data.
func (r *rig) headedBut(t *testing.T, page speechPage, x, stuck turn) {
	t.Helper()
	r.putRow(t, 1, page.row())
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{1, 0}})
	each(t, func(t *testing.T, e exchange) {
		cases := headerCases()
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			t.Run(name, func(t *testing.T) {
				p := x.segment(e)
				cases[name](&p)
				more := p.IP.Options != nil && e.vip.Addr().Is4() || p.IP.Extensions != nil && e.vip.Addr().Is6()
				for _, program := range r.programs() {
					want := x
					if program.name == "tc" && p.Link.VLANs != nil && more {
						want = stuck
					}
					t.Run(program.name, func(t *testing.T) {
						r.checkOne(t, program, p.Bytes(), want.outcome(program, e, p))
					})
				}
			})
		}
	})
}
