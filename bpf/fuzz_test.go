// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// seedFrames are valid frames of every kind, to be mutated.
func seedFrames() [][]byte {
	var frames [][]byte
	add := func(p packet.TCP) { frames = append(frames, p.Bytes()) }
	for _, e := range exchanges() {
		add(e.syn())
		for _, change := range headerCases() {
			syn := e.syn(mssOption(1460)...)
			change(&syn)
			add(syn)
			ack := e.at(key0, 3, 0, 3001, packet.TCP{Window: 65535, Payload: []byte("x")})
			change(&ack)
			add(ack)
		}
		for _, c := range flagCases() {
			add(c.segment(e))
		}
		for _, request := range []string{"GET / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n", "x"} {
			add(e.at(key1, 2, 0, 0, packet.TCP{Window: 1000, Payload: []byte(request)}))
		}
		frames = append(frames,
			packet.UDP{Src: e.client, Dst: e.vip, Payload: make([]byte, 9)}.Bytes(),
			packet.ICMP{Src: e.client.Addr(), Dst: e.vip.Addr(), Type: 3, Payload: make([]byte, 40)}.Bytes())
	}
	return frames
}

// lawful says what is wrong with what a program made of a frame that it did not
// drop, if anything: it is as it was, or an answer that is whole, has right sums,
// and is larger than the frame only for a valid cookie.
func (r *rig) lawful(frame, out []byte, d deed) error {
	switch d {
	case passed:
		if !bytes.Equal(out, frame) {
			return fmt.Errorf("passed, and changed: %x", out)
		}
	case answered:
		return r.lawfulAnswer(frame, out)
	case forwarded:
		return fmt.Errorf("forwarded: %x", out)
	case dropped, deeds:
	}
	return nil
}

func (r *rig) lawfulAnswer(frame, out []byte) error {
	asked, err := packet.Parse(frame)
	if err != nil {
		return fmt.Errorf("an answer to what cannot be read: %w", err)
	}
	got, err := packet.Parse(out)
	if err == nil {
		err = got.ChecksumsOK()
	}
	if err != nil {
		return fmt.Errorf("answer %x: %w", out, err)
	}
	if got.TCP == nil || got.TCP.Src != asked.TCP.Dst || got.TCP.Dst != asked.TCP.Src || len(got.Link.Trailer) != 0 {
		return fmt.Errorf("not the way back: %x", out)
	}
	if proven := r.proven(*asked.TCP); len(out) > len(frame) && !proven {
		return fmt.Errorf("%d bytes for %d without a cookie", len(out), len(frame))
	}
	return nil
}

// proven says whether the segment holds a cookie of the page in slot 1.
func (r *rig) proven(p packet.TCP) bool {
	if p.Flags&packet.ACK == 0 || p.Flags&packet.SYN != 0 {
		return false
	}
	for _, key := range []DirectorCookieKey{key0, key1} {
		diff := p.Ack - 1 - isn(key, p.Src, p.Dst, 0, 0)
		if diff < 4<<16 && diff&0xffff <= pageLength+1 {
			return true
		}
	}
	return false
}

// FuzzPackets sends any frame through the programs.
func FuzzPackets(f *testing.F) {
	r := newRig(f)
	fuzz(f, r.rigged(), seedFrames())
}

// TestRandomPackets is a short fuzzing run without a fuzzer: the same frames
// each time.
func TestRandomPackets(t *testing.T) {
	const seed = 7
	r := newRig(t)
	random(t, r.rigged(), seedFrames(), seed)
}

// rigged is every program of the rig, on trial.
func (r *rig) rigged() (all []*trial) {
	for _, p := range append(r.programs(), r.frags()) {
		all = append(all, &trial{rig: r, program: p, law: r.lawful})
	}
	return all
}

// mutate changes some bytes of a copy, most of them in the headers, or its
// length.
func mutate(random *rand.Rand, frame []byte) []byte {
	frame = append([]byte(nil), frame...)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(frame))
		if random.IntN(4) > 0 {
			at = random.IntN(min(len(frame), 80))
		}
		switch random.IntN(8) {
		case 0:
			frame = frame[:max(14, at)]
		case 1:
			frame = append(frame, make([]byte, random.IntN(1500))...)
		case 2:
			frame[at] ^= 1 << random.IntN(8)
		case 3:
			frame[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[random.IntN(5)]
		default:
			frame[at] = byte(random.Uint32())
		}
	}
	return frame[:min(len(frame), 3000)]
}
