// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/test/packet"
)

// burstCase is a packet and what it brings.
type burstCase struct {
	name    string
	offset  int
	payload string
	fin     bool
	window  int  // 0: 65535
	again   bool // its block was sent just now
	end     int  // of the block; 0: none
	segment int  // bytes of a single segment; 0: none
	verdict DirectorVerdict
}

// burstCases are of a page of 20000 bytes with a header of 100 in blocks of 4
// segments of 1440 bytes: they begin at 0, 5760, 11520 and 17280.
func burstCases() []burstCase {
	const get = "GET / HTTP/1.1\r\n\r\n"
	segment, last, none := DirectorVerdictANSWER_SEGMENT, DirectorVerdictANSWER_LAST, DirectorVerdictDROP_ACK
	return []burstCase{
		{name: "request", payload: get, end: 5760, verdict: segment},
		{name: "request again", payload: get, again: true, segment: 1440, verdict: segment},
		{name: "request, no room", payload: get, window: 5760, segment: 1440 - 64, verdict: segment},
		{name: "request, just room", payload: get, window: 5761, end: 5760, verdict: segment},
		{name: "request, small window", payload: get, window: 1000, segment: 960, verdict: segment},
		{name: "head", payload: "HEAD / HTTP/1.1\r\n\r\n", segment: 100, verdict: DirectorVerdictANSWER_HEAD},
		{name: "rest of a request", payload: "Host: x\r\n\r\n", segment: 64, verdict: segment},
		{name: "fin alone", fin: true, segment: 64, verdict: DirectorVerdictANSWER_CLOSE},
		{name: "handshake", verdict: none},
		{name: "inside a block", offset: 1440, verdict: none},
		{name: "inside a block, small window", offset: 2880, window: 1000, verdict: none},
		{name: "end of a block", offset: 5760, end: 11520, verdict: segment},
		{name: "end of a block again", offset: 5760, again: true, verdict: none},
		{name: "end of a block, no room", offset: 5760, window: 5760, segment: 1440 - 64, verdict: segment},
		{name: "end of a block, retransmission", offset: 5760, payload: "\n", end: 11520, verdict: segment},
		{name: "end of a block, fin", offset: 5760, fin: true, end: 11520, verdict: segment},
		{name: "inside a block, retransmission", offset: 8640, payload: "\n", end: 11520, verdict: segment},
		{name: "inside a block, retransmission again", offset: 8640, payload: "\n", again: true, segment: 1440, verdict: segment},
		{name: "last of a block, retransmission", offset: 10080, payload: "\n", segment: 1440 - 64, verdict: segment},
		{name: "last block", offset: 17280, end: 20000, verdict: last},
		{name: "last block, no room for the FIN", offset: 17280, window: 2720, segment: 1440 - 64, verdict: segment},
		{name: "last segment", offset: 18720, verdict: none},
		{name: "last segment, retransmission", offset: 18720, payload: "\n", segment: 1280, verdict: last},
		{name: "by single segments", offset: 1376, segment: 1440, verdict: segment},
		{name: "by single segments, retransmission", offset: 1376, payload: "\n", segment: 1440, verdict: segment},
		{name: "by single segments, at the end", offset: 18656, segment: 1344, verdict: last},
		{name: "by small windows", offset: 960, window: 1000, segment: 1376 - 960, verdict: segment},
		{name: "by small windows, where a block would go on", offset: 2496, window: 400, segment: 2816 - 2496, verdict: segment},
		{name: "any offset", offset: 1441, segment: 2880 - 64 - 1441, verdict: segment},
		{name: "end", offset: 20001, verdict: DirectorVerdictDROP_DONE},
	}
}

// TestBursts: which packet brings how many segments, and each byte of them.
func TestBursts(t *testing.T) {
	r := newBurstRig(t)
	page := testPage(20000, 100)
	row := page.row()
	row.Burst = 4
	r.putRow(t, 1, row)
	each(t, func(t *testing.T, e exchange) {
		for _, tt := range burstCases() {
			for _, p := range r.programs() {
				t.Run(p.name+", "+tt.name, func(t *testing.T) { r.checkBurst(t, e, p, page, tt) })
			}
		}
	})
}

func (r *burstRig) checkBurst(t *testing.T, e exchange, by program, page testResponse, tt burstCase) {
	t.Helper()
	p := e.at(key0, 3, 0, uint32(tt.offset), packet.TCP{Window: 65535, Payload: tail([]byte(tt.payload))})
	if tt.window > 0 {
		p.Window = uint16(tt.window)
	}
	if tt.fin {
		p.Flags |= packet.FIN
	}
	if err := r.forget(); err != nil {
		t.Fatal(err)
	}
	r.spend(t, false)
	var want []packet.TCP
	switch {
	case tt.end > 0:
		want = burstOf(p, page.bytes, tt.offset, tt.end, 1440, 0)
	case tt.segment > 0:
		want = burstOf(p, page.bytes, tt.offset, tt.offset+tt.segment, tt.segment, (tt.segment-tt.offset%tt.segment)%tt.segment)
		if tt.verdict == DirectorVerdictANSWER_LAST || tt.verdict == DirectorVerdictANSWER_HEAD {
			want[0].Flags |= packet.FIN
			want[0] = *answerTo(p, packet.TCP{Seq: p.Ack, Ack: end(p), Flags: want[0].Flags, Payload: want[0].Payload})
		}
	}
	before := r.counts(t)
	if tt.again {
		r.recall(t, p.Ack)
	}
	r.checkSent(t, r.sent(t, by, p.Bytes()), want)
	line := counted(e.id, r.names[tt.verdict], 1, uint64(len(p.Bytes())))
	if by.name == "xdp" && tt.end > 0 {
		line += ", " + counted(e.id, r.names[DirectorVerdictPASS_DEFERRED], 1, uint64(len(p.Bytes())))
	}
	if got := r.since(before, r.counts(t)); got != line {
		t.Errorf("counted %s, want %s", got, line)
	}
}

func (r *burstRig) checkSent(t *testing.T, frames [][]byte, want []packet.TCP) {
	t.Helper()
	if len(frames) != len(want) {
		t.Fatalf("%d segments were sent, want %d", len(frames), len(want))
	}
	for i, frame := range frames {
		if diff := cmp.Diff(want[i], parseReply(t, frame), addresses); diff != "" {
			t.Fatalf("segment %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestBurstBudget: beyond its budget XDP answers by itself, one segment at a time.
func TestBurstBudget(t *testing.T) {
	r := newBurstRig(t)
	page := testPage(20000, 100)
	row := page.row()
	row.Burst = 4
	r.putRow(t, 1, row)
	each(t, func(t *testing.T, e exchange) {
		for _, offset := range []int{0, 5760} {
			p := e.at(key0, 3, 0, uint32(offset), packet.TCP{Window: 65535, Payload: []byte("GET / HTTP/1.1\r\n\r\n")})
			for _, spent := range []bool{false, true} {
				if err := r.forget(); err != nil {
					t.Fatal(err)
				}
				r.spend(t, spent)
				ret, out, err := r.programs()[0].run(p.Bytes())
				for try := 0; try < 20 && err == nil && spent && ret == r.programs()[0].pass; try++ { // another window of time has begun
					r.spend(t, spent)
					ret, out, err = r.programs()[0].run(p.Bytes())
				}
				if err != nil {
					t.Fatal(err)
				}
				if !spent {
					if ret != r.programs()[0].pass {
						t.Errorf("offset %d: returned %d with budget left", offset, ret)
					}
					continue
				}
				r.checkSent(t, [][]byte{out}, burstOf(p, page.bytes, offset, offset+1376, 1376, 1376-offset%1376))
			}
		}
	})
}

// TestBurstsWithOptions: what lies before the transport's header goes, and tags
// stay, in every segment.
func TestBurstsWithOptions(t *testing.T) {
	r := newBurstRig(t)
	page := testPage(20000, 100)
	row := page.row()
	row.Burst = 10
	r.putRow(t, 1, row)
	each(t, func(t *testing.T, e exchange) {
		for name, change := range headerCases() {
			p := e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: []byte("GET / HTTP/1.1\r\n\r\n")})
			change(&p)
			for _, by := range r.programs() {
				t.Run(fmt.Sprintf("%s, %v", by.name, name), func(t *testing.T) {
					if err := r.forget(); err != nil {
						t.Fatal(err)
					}
					r.spend(t, false)
					r.checkSent(t, r.sent(t, by, p.Bytes()), burstOf(p, page.bytes, 0, 14400, 1440, 0))
				})
			}
		}
	})
}

// TestBurstsOfVariants walks variants whose segments come in blocks.
func TestBurstsOfVariants(t *testing.T) {
	r := newBurstRig(t)
	v := testVariants()
	v.variants = v.variants[:6] // those behind them have ends where blocks' segments would
	r.putVaried(t, v, 4)
	each(t, func(t *testing.T, e exchange) {
		for _, by := range r.programs() {
			t.Run(by.name, func(t *testing.T) {
				if err := r.forget(); err != nil {
					t.Fatal(err)
				}
				r.spend(t, false)
				text := asking("GET / HTTP/1.1", "Host: a.example", "Accept-Encoding: gzip")
				page, shift := v.variants[aGzip-1].bytes, 32-aGzip
				p := e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: []byte(text)})
				r.checkSent(t, r.sent(t, by, p.Bytes()), burstOf(p, page, 0, 4*1440-shift, 1440, shift))
				p = e.at(key0, 3, 0, uint32(2*1440-shift), packet.TCP{Window: 65535})
				r.checkSent(t, r.sent(t, by, p.Bytes()), nil)
				p = e.at(key0, 3, 0, uint32(4*1440-shift), packet.TCP{Window: 65535})
				r.checkSent(t, r.sent(t, by, p.Bytes()), burstOf(p, page, 4*1440-shift, len(page), 1440, shift))
			})
		}
	})
}

// TestBurstExchanges: every exchange over a bad network ends with the whole page,
// where it comes in bursts.
func TestBurstExchanges(t *testing.T) {
	r := newBurstRig(t)
	seeds, bursts := uint64(8), []uint32{4, 10}
	if testing.Short() {
		seeds, bursts = 1, bursts[1:]
	}
	for _, burst := range bursts {
		for _, page := range []testResponse{testPage(20000, 100), testPage(60000, 110), testPage(1500, 535)} {
			row := page.row()
			row.Burst = burst
			r.putRow(t, 1, row)
			for _, x := range exchangeCases() {
				t.Run(fmt.Sprintf("%s, page of %d, burst %d", x.name, len(page.bytes), burst), func(t *testing.T) {
					for seed := range seeds {
						r.spend(t, false)
						x.burst = r
						if err := x.play(r.rig, page, seed); err != nil {
							t.Errorf("seed %d: %v", seed, err)
						}
					}
				})
			}
		}
	}
}
