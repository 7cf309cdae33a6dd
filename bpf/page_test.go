// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

var segmentSizes = [4]int{536, 1220, 1360, 1440} // by class

// segmentFor says what is due to a segment of the client's that asks for the
// byte at offset, up to the byte at end. Segments end at multiples of most bytes,
// or of 64 where the window is too small.
func (r testResponse) segmentFor(p packet.TCP, offset, end_, most int) outcome {
	rest, window := end_-offset, int(p.Window)
	most -= offset % most
	reply := packet.TCP{Seq: p.Ack, Ack: end(p), Flags: packet.ACK | packet.PSH}
	if rest <= most && rest < window {
		reply.Flags |= packet.FIN
		reply.Payload = tail(r.bytes[offset:end_])
		return outcome{verdict: DirectorVerdictANSWER_LAST, reply: answerTo(p, reply)}
	}
	n := min(rest, most)
	if n > window {
		if n = window; n >= 64 {
			n -= (offset + n) % 64
		}
	}
	if n > 0 && offset+n == r.head+1 {
		n-- // there a client would be taken for one that asked for the header
	}
	if n == 0 {
		return outcome{verdict: DirectorVerdictDROP_WINDOW}
	}
	reply.Ack--
	reply.Payload = r.bytes[offset : offset+n]
	return outcome{verdict: DirectorVerdictANSWER_SEGMENT, reply: answerTo(p, reply)}
}

// tail is as package packet parses it: nil for no bytes.
func tail(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func testPages() []testResponse {
	return []testResponse{
		testPage(1, 1), testPage(535, 535), testPage(536, 100), testPage(537, 536),
		testPage(20000, 100), testPage(65534, 531),
	}
}

// TestWholeExchange walks each page from the request to the last byte, each
// acknowledgement naming the end of the segment before it.
func TestWholeExchange(t *testing.T) {
	r := newRig(t)
	get := []byte("GET / HTTP/1.1\r\n\r\n")
	for _, page := range testPages() {
		r.putPage(t, 1, page)
		each(t, func(t *testing.T, e exchange) {
			for class, size := range segmentSizes {
				if testing.Short() && class%2 == 0 {
					continue
				}
				t.Run(fmt.Sprintf("%d bytes, class %d", len(page.bytes), class), func(t *testing.T) {
					offset := 0
					for p := e.at(key0, uint32(class), 0, 0, packet.TCP{Window: 65535, Payload: get}); ; {
						want := page.segmentFor(p, offset, len(page.bytes), size)
						want.id = e.id
						r.checkFrame(t, fmt.Sprint("offset ", offset), p.Bytes(), want)
						if want.verdict == DirectorVerdictANSWER_LAST {
							break
						}
						offset += len(want.reply.Payload)
						p = e.at(key0, uint32(class), 0, uint32(offset), packet.TCP{
							Seq: clientISN + 1 + uint32(len(get)), Window: 65535})
					}
				})
			}
		})
	}
}

// edges are the offsets where anything changes, and their neighbours.
func edges(page testResponse) (offsets []int) {
	for _, at := range []int{2, page.head, 536, 1220, 1360, 1440, len(page.bytes), len(page.bytes) - 536,
		len(page.bytes) - 1220, len(page.bytes) - 1360, len(page.bytes) - 1440} {
		for o := at - 2; o <= at+2; o++ {
			if o > 0 && o <= len(page.bytes) {
				offsets = append(offsets, o)
			}
		}
	}
	return offsets
}

// windowEdges are the windows where the answer changes, of those that exist.
func windowEdges(page testResponse, class, offset int) (windows []int) {
	for _, at := range []int{1, segmentSizes[class], len(page.bytes) - offset, page.head + 1 - offset, 65534} {
		for w := at - 1; w <= at+1; w++ {
			if w >= 0 && w < 65536 {
				windows = append(windows, w)
			}
		}
	}
	return windows
}

// TestAnyOffset asks for any part of a page, with and without a retransmitted
// byte: a receiver may take part of a segment, and a middlebox cut it anew.
func TestAnyOffset(t *testing.T) {
	r := newRig(t)
	const seed = 1
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for _, page := range testPages() {
		r.putPage(t, 1, page)
		each(t, func(t *testing.T, e exchange) {
			t.Run(fmt.Sprintf("%d bytes", len(page.bytes)), func(t *testing.T) {
				for i, offset := range edges(page) {
					class := i % len(segmentSizes)
					for j, window := range windowEdges(page, class, offset) {
						if testing.Short() && (i+j)%4 != 0 {
							continue
						}
						r.askFor(t, e, page, class, offset, window, random.IntN(2))
					}
				}
				samples := 300
				if testing.Short() {
					samples = 20
				}
				for range samples {
					r.askFor(t, e, page, random.IntN(4), 1+random.IntN(len(page.bytes)),
						[]int{random.IntN(1600), 65535}[random.IntN(2)], random.IntN(2))
				}
			})
		})
	}
}

// askFor checks one acknowledgement, with payload bytes of a request behind it.
func (r *rig) askFor(t *testing.T, e exchange, page testResponse, class, offset, window, payload int) {
	t.Helper()
	p := e.at(key0, uint32(class), 0, uint32(offset), packet.TCP{
		Window: uint16(window), Payload: tail(make([]byte, payload))})
	want := page.segmentFor(p, offset, len(page.bytes), segmentSizes[class])
	if offset == page.head+1 && payload == 0 {
		want = outcome{verdict: DirectorVerdictDROP_DONE}
	}
	want.id = e.id
	name := fmt.Sprintf("class %d, offset %d, window %d, payload %d", class, offset, window, payload)
	r.checkFrame(t, name, p.Bytes(), want)
}

// TestRequest: what opens an exchange, and how much that brings.
func TestRequest(t *testing.T) {
	r := newRig(t)
	page := testPage(20000, 100)
	const all, header = 20000, 100
	tests := []struct {
		name    string
		payload string
		flags   packet.Flags
		window  uint16
		end     int // of what is answered with
		most    int // bytes at once; 0: a full segment
		verdict DirectorVerdict
	}{
		{name: "get", payload: "GET / HTTP/1.1\r\n\r\n"},
		{name: "get of 300 bytes", payload: fmt.Sprintf("GET /%0295d", 0)},
		{name: "get of 1400 bytes", payload: fmt.Sprintf("GET /%01395d", 0)},
		{name: "post", payload: "POST / HTTP/1.1\r\n\r\n"},
		{name: "put", payload: "PUT / HTTP/1.1\r\n\r\n"},
		{name: "patch", payload: "PATCH / HTTP/1.1\r\n\r\n"},
		{name: "delete", payload: "DELETE / HTTP/1.1\r\n\r\n"},
		{name: "options", payload: "OPTIONS * HTTP/1.1\r\n\r\n"},
		{name: "get and fin", payload: "GET / HTTP/1.1\r\n\r\n", flags: packet.FIN},
		{name: "get, small window", payload: "GET / HTTP/1.1\r\n\r\n", window: 333},
		{name: "get, window ends behind the header", payload: "GET / HTTP/1.1\r\n\r\n", window: header + 1},
		{name: "one byte", payload: "G", most: header},
		{name: "rest of a request", payload: "Host: example.net\r\n\r\n", most: header},
		{name: "rest of a request, small window", payload: "Host: example.net\r\n\r\n", most: header, window: 99},
		{name: "not HTTP", payload: "\x16\x03\x01\x02\x00\x01", most: header},
		{name: "lower-case head", payload: "head / HTTP/1.1\r\n\r\n", most: header},
		{name: "HEAD is not the whole method", payload: "HEADS / HTTP/1.1\r\n\r\n", most: header},
		{name: "first part of HEAD", payload: "HEAD", most: header},
		{name: "second part of HEAD", payload: " / HTTP/1.1\r\n\r\n", most: header},
		{name: "fin", flags: packet.FIN, most: header, verdict: DirectorVerdictANSWER_CLOSE},
		{name: "head", payload: "HEAD / HTTP/1.1\r\n\r\n", end: header, verdict: DirectorVerdictANSWER_HEAD},
		{name: "head and fin", payload: "HEAD / HTTP/1.1\r\n\r\n", flags: packet.FIN, end: header, verdict: DirectorVerdictANSWER_HEAD},
		{name: "head, window for header and fin", payload: "HEAD / HTTP/1.1\r\n\r\n", window: header + 1, end: header, verdict: DirectorVerdictANSWER_HEAD},
	}
	each(t, func(t *testing.T, e exchange) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := e.at(key0, 2, 0, 0, packet.TCP{Flags: tt.flags, Window: tt.window, Payload: tail([]byte(tt.payload))})
				if p.Window == 0 {
					p.Window = 65535
				}
				if tt.end == 0 {
					tt.end = all
				}
				if tt.most == 0 {
					tt.most = 1360
				}
				want := page.segmentFor(p, 0, tt.end, tt.most)
				want.id = e.id
				if tt.verdict != 0 {
					want.verdict = tt.verdict
				}
				r.check(t, p.Bytes(), want)
			})
		}
	})
}
