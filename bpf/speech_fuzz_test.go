// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"github.com/maitred-lb/maitred/test/packet"
)

// spoken is a frame to a service of some page, with what a client of its protocol
// may say.
func spoken(t *testing.T, random *rand.Rand, e exchange) []byte {
	t.Helper()
	q := query(uint16(random.Uint32()), recursive, "www.example.net", edns...)
	says := [][]byte{
		nil, {'x'}, []byte(sslRequest), []byte(startup), framed(q), framed(q)[:2], q, q[:11],
		[]byte(http2.ClientPreface + string(frames(t, settings, window, request(0)))), frames(t, settingsAck),
		ber(0x30, cat(ber(0x02, 1, 2), ber(0x60, 2, 1, 3))...), testPage(1400, 0).bytes,
	}
	payload := append([]byte{}, says[random.IntN(len(says))]...)
	for range random.IntN(3) {
		if len(payload) > 0 {
			payload[random.IntN(len(payload))] = byte(random.Uint32())
		}
	}
	var around packet.TCP
	if cases := headerCases(); random.IntN(3) == 0 {
		names := slices.Sorted(maps.Keys(cases))
		cases[names[random.IntN(len(names))]](&around)
	}
	if random.IntN(4) == 0 {
		return packet.UDP{Src: e.client, Dst: e.vip, Payload: payload, IP: around.IP, Link: around.Link}.Bytes()
	}
	offset := []uint32{0, 0, 0, 1, 2, 3, 9, 50, 100, 1441, 2000}[random.IntN(11)]
	p := e.at(key0, random.Uint32N(4), 0, offset, packet.TCP{
		Window: []uint16{0, 1, 30, 500, 65535}[random.IntN(5)], Payload: tail(payload),
		Flags: packet.Flags(random.Uint32N(2)), IP: around.IP, Link: around.Link,
	})
	return p.Bytes()
}

// TestSpeechFuzz: whatever a client says, in whatever headers, is answered with
// packets that are whole and have right sums, over UDP with none longer than it.
func TestSpeechFuzz(t *testing.T) {
	l, _ := datagrams(t)
	rounds := 1000
	if testing.Short() {
		rounds = 200
	}
	const seed = 5
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for _, page := range []speechPage{
		anyPage, greetingPages()[0], greetingPages()[1], postgresPage(), http2Page(t, 300), ldapPage("down"), dnsPage, unreachablePage,
	} {
		for _, mode := range []DirectorServiceMode{DirectorServiceModeMODE_SORRY, DirectorServiceModeMODE_LINGER} {
			s := DirectorService{Mode: mode, Page: [2]uint32{1, 0}}
			l.serveUDP(t, page, s)
			l.serve(t, s)
			for i := range rounds {
				frame := spoken(t, random, exchanges()[random.IntN(2)])
				for _, p := range append(l.programs(), l.frags()) {
					x := &trial{rig: l.rig, program: p, law: sound}
					if err := x.send(frame); err != nil {
						t.Fatalf("speech %d, mode %d, round %d, %s: %v\n%x", page.speech, mode, i, p.name, err, frame)
					}
				}
			}
		}
	}
}

// sound says what is wrong with an answer, if anything.
func sound(frame, out []byte, d deed) error {
	if d == passed && !bytes.Equal(frame, out) {
		return fmt.Errorf("passed, and changed: %x", out)
	}
	if d != answered {
		return nil
	}
	got, err := packet.Parse(out)
	if err == nil {
		err = got.ChecksumsOK()
	}
	if err == nil && got.UDP != nil && len(out) > len(frame) {
		err = fmt.Errorf("%d bytes in answer to %d", len(out), len(frame))
	}
	if err != nil {
		return fmt.Errorf("answer: %w: %x", err, out)
	}
	return nil
}
