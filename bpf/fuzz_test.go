// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
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

// lawful says what is wrong with what a program did to a frame, if anything:
// the verdict must be one of its own, exactly one counted, an answer whole and
// with right sums, and larger than the frame only for a valid cookie.
func (r *rig) lawful(t testing.TB, p program, frame []byte) error {
	verdict, out, err := r.observe(t, p, frame)
	switch {
	case errors.Is(err, errUncounted):
		return nil
	case err != nil:
		return err
	case verdict == DirectorVerdictDROP_ERROR || verdict == DirectorVerdictPASS_DEFERRED:
		return fmt.Errorf("%s: the frame could not be made an answer", r.names[verdict])
	case p.expected(verdict) != p.send:
		return nil
	}
	return r.lawfulAnswer(frame, out, verdict)
}

// observe runs a frame, and gives the one verdict that was counted since the last
// one that it ran, and the frame as it was left. errUncounted: XDP passed it for tc
// to count, or the kernel did not run it.
func (r *rig) observe(t testing.TB, p program, frame []byte) (DirectorVerdict, []byte, error) {
	if r.observed == nil {
		r.observed = r.counts(t)
	}
	before := r.observed
	ret, out, err := p.run(frame)
	if p.refused(frame, err) {
		return 0, nil, errUncounted
	}
	if err != nil {
		return 0, nil, err
	}
	r.observed = r.counts(t)
	verdict, err := onlyVerdict(before, r.observed, len(frame))
	if errors.Is(err, errUncounted) && (p.name != "xdp" || ret != p.pass) {
		return 0, nil, fmt.Errorf("returned %d and counted nothing", int32(ret))
	}
	if err != nil {
		return 0, nil, err
	}
	if ret != p.expected(verdict) {
		return 0, nil, fmt.Errorf("returned %d with %s", int32(ret), r.names[verdict])
	}
	return verdict, out, nil
}

var errUncounted = errors.New("not counted here")

func onlyVerdict(before, now counts, length int) (DirectorVerdict, error) {
	found := -1
	for i := range now {
		if now[i] == before[i] {
			continue
		}
		if found >= 0 {
			return 0, errors.New("counted twice")
		}
		if now[i].Packets != before[i].Packets+1 || now[i].Bytes != before[i].Bytes+uint64(length) {
			return 0, errors.New("counted wrong")
		}
		found = i
	}
	if found < 0 {
		return 0, errUncounted
	}
	return DirectorVerdict(found % verdictRoom), nil
}

func (r *rig) lawfulAnswer(frame, out []byte, verdict DirectorVerdict) error {
	asked, err := packet.Parse(frame)
	if err != nil {
		return fmt.Errorf("%s to what cannot be read: %w", r.names[verdict], err)
	}
	got, err := packet.Parse(out)
	if err == nil {
		err = got.ChecksumsOK()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %x", r.names[verdict], err, out)
	}
	if got.TCP == nil || got.TCP.Src != asked.TCP.Dst || got.TCP.Dst != asked.TCP.Src || len(got.Link.Trailer) != 0 {
		return fmt.Errorf("%s: not the way back: %x", r.names[verdict], out)
	}
	if proven := r.proven(*asked.TCP); len(out) > len(frame) && !proven {
		return fmt.Errorf("%s: %d bytes for %d without a cookie", r.names[verdict], len(out), len(frame))
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

// FuzzPackets sends any frame through both programs.
func FuzzPackets(f *testing.F) {
	r := newRig(f)
	for _, frame := range seedFrames() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 14 || len(frame) > 3000 {
			return // no frame, or more than a test run has room for
		}
		for _, p := range r.programs() {
			if err := r.lawful(t, p, frame); err != nil {
				t.Errorf("%s: %v\n%x", p.name, err, frame)
			}
		}
	})
}

// TestRandomPackets is a short fuzzing run without a fuzzer: the same frames
// each time.
func TestRandomPackets(t *testing.T) {
	r := newRig(t)
	const seed = 7
	packets := 20000
	if testing.Short() {
		packets = 4000
	}
	random := rand.New(rand.NewPCG(seed, seed))
	frames := seedFrames()
	for i := range packets {
		frame := mutate(random, frames[random.IntN(len(frames))])
		for _, p := range r.programs() {
			if err := r.lawful(t, p, frame); err != nil {
				t.Fatalf("seed %d, packet %d, %s: %v\n%x", seed, i, p.name, err, frame)
			}
		}
	}
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
