// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// tlsAlone is a page as nearly all are: it has something to say to TLS, and no
// other variant.
func tlsAlone(length, head int) variedPage {
	return variedPage{testResponse: testPage(length, head), alike: 32, variants: []testVariant{
		{opening: DirectorOpeningOPENING_TLS, testResponse: testPage(35, 0)},
	}}
}

// TestTLSAlone: a client of HTTP may ask for any byte of the page, as of a page that
// has no variant at all.
func TestTLSAlone(t *testing.T) {
	r := newRig(t)
	page := tlsAlone(20000, 100)
	const seed = 21
	random := rand.New(rand.NewPCG(seed, seed))
	for _, burst := range []int{1, 10} {
		r.putVaried(t, page, burst)
		for i := range 500 {
			e := exchanges()[i%2]
			class, offset := random.IntN(4), 37+random.IntN(19900)
			if offset == page.head+1 {
				continue
			}
			for _, window := range []int{1 + random.IntN(130), 65535} {
				p := e.at(key0, uint32(class), 0, uint32(offset), packet.TCP{Window: uint16(window), Payload: []byte("\n")})
				for _, program := range r.programs() {
					_, out, err := program.run(p.Bytes())
					if err != nil {
						t.Fatal(err)
					}
					got := parseReply(t, out)
					n := len(got.Payload)
					if n == 0 || n > window || !bytes.HasPrefix(page.bytes[offset:], got.Payload) {
						t.Fatalf("%s, burst %d: class %d, offset %d, window %d: %d bytes, flags %v",
							program.name, burst, class, offset, window, n, got.Flags)
					}
				}
			}
		}
	}
}

// TestTLSAloneStart: what begins an exchange, and what ends that of TLS.
func TestTLSAloneStart(t *testing.T) {
	r := newRig(t)
	page := tlsAlone(1300, 100)
	r.putVaried(t, page, 1)
	alert := page.variants[0].bytes
	each(t, func(t *testing.T, e exchange) {
		for _, tt := range []struct {
			name    string
			offset  int
			window  uint16
			payload string
			flags   packet.Flags
			verdict DirectorVerdict
			flag    packet.Flags
			want    []byte
		}{
			{"get", 0, 65535, asking("GET / HTTP/1.1"), 0, DirectorVerdictANSWER_LAST, packet.FIN, page.bytes},
			{"head", 0, 65535, asking("HEAD / HTTP/1.1"), 0, DirectorVerdictANSWER_HEAD, packet.FIN, page.bytes[:100]},
			{"hello", 0, 65535, hello(500), 0, DirectorVerdictANSWER_LAST, packet.FIN, alert},
			{"hello, just room", 0, 36, hello(500), 0, DirectorVerdictANSWER_LAST, packet.FIN, alert},
			{"hello, no room", 0, 35, hello(500), 0, DirectorVerdictDROP_WINDOW, 0, nil},
			{"rest of a hello", 0, 65535, "\xaa\xaa\xaa\xaa", 0, DirectorVerdictANSWER_SEGMENT, 0, page.bytes[:32]},
			{"fin", 0, 65535, "", packet.FIN, DirectorVerdictANSWER_CLOSE, 0, page.bytes[:32]},
			{"handshake", 0, 65535, "", 0, DirectorVerdictDROP_ACK, 0, nil},
			{"handshake, small window", 0, 10, "", 0, DirectorVerdictDROP_ACK, 0, nil},
			{"no more than what is alike", 32, 65535, "", 0, DirectorVerdictANSWER_SEGMENT, 0, page.bytes[32:64]},
			{"end of TLS", 36, 65535, "", 0, DirectorVerdictDROP_DONE, 0, nil},
			{"end of TLS, fin", 36, 65535, "", packet.FIN, DirectorVerdictANSWER_ACK, 0, []byte{}},
			{"not to the end of TLS", 4, 32, "x", 0, DirectorVerdictANSWER_SEGMENT, 0, page.bytes[4:35]},
			{"behind", 64, 65535, "", 0, DirectorVerdictANSWER_LAST, packet.FIN, page.bytes[64:]},
			{"end", 1301, 65535, "", 0, DirectorVerdictDROP_DONE, 0, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				p := e.at(key0, 3, 0, uint32(tt.offset), packet.TCP{Window: tt.window, Payload: tail([]byte(tt.payload))})
				p.Flags |= tt.flags
				want := outcome{verdict: tt.verdict, id: e.id}
				if tt.want != nil {
					ack := end(p)
					if tt.verdict == DirectorVerdictANSWER_SEGMENT || tt.verdict == DirectorVerdictANSWER_CLOSE {
						ack--
					}
					flags := packet.ACK | tt.flag
					if len(tt.want) > 0 {
						flags |= packet.PSH
					}
					want.reply = answerTo(p, packet.TCP{Seq: p.Ack, Ack: ack, Flags: flags, Payload: tail(tt.want)})
				}
				r.check(t, p.Bytes(), want)
			})
		}
		foreign := e.at(key0, 3, 0, 1302, packet.TCP{Window: 65535})
		r.check(t, foreign.Bytes(), e.reset(3, 0, 1302))
	})
}

// TestTLSAloneExchanges: every exchange over a bad network ends with the page, or
// with the alert.
func TestTLSAloneExchanges(t *testing.T) {
	r := newBurstRig(t)
	seeds := uint64(24)
	if testing.Short() {
		seeds = 8
	}
	for _, length := range []int{1300, 20000} {
		page := tlsAlone(length, 100)
		burst := 1 + length/2000
		r.putVaried(t, page, burst)
		for _, x := range []variedCase{
			{name: "get", request: asking("GET / HTTP/1.1"), numbers: []int{0}},
			{name: "get in two segments", request: asking("GET / HTTP/1.1"), cuts: []int{9}, numbers: []int{0}},
			{name: "get by the letter", request: asking("GET / HTTP/1.1"), cuts: []int{1}, numbers: []int{0}},
			{name: "get and half-close", request: asking("GET / HTTP/1.1"), halfClose: true, numbers: []int{0}},
			{name: "head", request: asking("HEAD / HTTP/1.1"), head: true, numbers: []int{0}},
			{name: "no HTTP", request: "hello there", numbers: []int{0}},
			{name: "tls", request: hello(500), numbers: []int{1}},
			{name: "tls in two segments", request: hello(1700), numbers: []int{1}, ordered: true},
		} {
			t.Run(fmt.Sprintf("%s, page of %d", x.name, length), func(t *testing.T) {
				for seed := range seeds {
					x.partial = seed%3 == 0
					if burst > 1 && seed%2 == 0 {
						x.burst = r
						r.spend(t, false)
					}
					got, err := x.play(r.rig, page, seed)
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
					} else if !x.is(page, got) {
						t.Errorf("seed %d: got %d bytes that are none of the answers", seed, len(got))
					}
				}
			})
		}
	}
}
