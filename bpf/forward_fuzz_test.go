// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// newFuzzRig forwards all services, and those of TCP end the exchanges of their
// page as well.
func newFuzzRig(t testing.TB) *forwardRig {
	t.Helper()
	r := newForwardRig(t)
	for _, x := range traffics() {
		row := DirectorService{Mode: DirectorServiceModeMODE_SERVE}
		if !x.udp {
			row = DirectorService{Mode: DirectorServiceModeMODE_LINGER, Page: [2]uint32{1, 0}}
		}
		r.putService(t, x, row)
	}
	return r
}

// lawful is the law of a rig that forwards as forward says.
func (r *forwardRig) lawful(forward law) law {
	return func(frame, out []byte, d deed) error {
		switch {
		case d == forwarded:
			return forward(frame, out, d)
		case d == answered && isICMP(out):
			return lawfulError(frame, out)
		}
		return r.rig.lawful(frame, out, d)
	}
}

// isICMP tells an error from any other answer.
func isICMP(frame []byte) bool {
	p, err := packet.Parse(frame)
	return err == nil && p.ICMP != nil
}

// direct wants the frame with a hop less, on its way to a server. The checksum of
// IPv4 is to be right if it was right before.
func (r *forwardRig) direct(frame, out []byte, _ deed) error {
	if len(out) < 14 {
		return fmt.Errorf("no frame: %x", out)
	}
	want := hopped(frame, r.farMAC, packet.MAC(out), false)
	if row := out[5]; packet.MAC(out) != serverMAC(uint32(row)) || row%10 < 1 || row%10 > servers {
		return fmt.Errorf("sent to %x", out[:6])
	}
	const check = 14 + 10
	if binary.BigEndian.Uint16(want[12:]) == packet.EtherTypeIPv4 {
		if l3 := len(frame) - len(out) + 14; packet.Checksum(frame[l3:l3+int(out[14]&15)*4]) != 0 {
			copy(want[check:], out[check:check+2])
		}
	}
	if !bytes.Equal(out, want) {
		return fmt.Errorf("forwarded as %x, want %x", out, want)
	}
	return nil
}

// lawfulError wants an ICMP error that goes back to the sender.
func lawfulError(frame, out []byte) error {
	asked, err := packet.Parse(frame)
	if err != nil {
		return fmt.Errorf("an error about what cannot be read: %w", err)
	}
	got, err := packet.Parse(out)
	if err == nil {
		err = got.ChecksumsOK()
	}
	if err != nil {
		return fmt.Errorf("%w: %x", err, out)
	}
	if got.ICMP == nil || got.Src != asked.Dst || got.Dst != asked.Src {
		return fmt.Errorf("no ICMP to the sender: %x", out)
	}
	return nil
}

// forwardSeeds are frames of flows, to be mutated.
func forwardSeeds() [][]byte {
	frames := seedFrames()
	for _, x := range traffics() {
		for _, flags := range []packet.Flags{syn, ack, fin, rst} {
			frames = append(frames, x.frame(flags, 20, packet.IP{DF: true, ID: 7}, packet.Link{}))
		}
		first := packet.IP{MF: true, ID: 9}
		if x.client.Addr().Is6() {
			first = packet.IP{Extensions: []packet.Extension{packet.Fragment(9, 0, true)}}
		}
		frames = append(frames, x.frame(syn, 64, first, packet.Link{}),
			x.frame(ack, 8, packet.IP{}, packet.Link{VLANs: []uint16{5}}))
	}
	return frames
}

// rigged is every program of the rig, on trial: frames for the third are those of a
// check, and are sent to a server or nowhere.
func (r *forwardRig) rigged(t testing.TB, forward law) (all []*trial) {
	const mark = 0x6d00
	put(t, r.Marks, uint32(mark), uint32(rows4))
	frags := r.programs()[0]
	frags.prog = r.MaitredXdpFrags
	for _, p := range append(r.programs(), r.probe(mark), frags) {
		all = append(all, &trial{rig: r.rig, program: p, law: r.lawful(forward), from: r.farMAC})
	}
	return all
}

// FuzzForward sends any frame through the programs, with services forwarded.
func FuzzForward(f *testing.F) {
	r := newFuzzRig(f)
	fuzz(f, r.rigged(f, r.direct), forwardSeeds())
}

// TestRandomForward is a short fuzzing run without a fuzzer: the same frames
// each time.
func TestRandomForward(t *testing.T) {
	const seed = 11
	r := newFuzzRig(t)
	before := r.tally(t, rows4).Packets
	packets := random(t, r.rigged(t, r.direct), forwardSeeds(), seed)
	if got := r.tally(t, rows4).Packets - before; got < uint64(packets)/50 {
		t.Errorf("%d of %d packets went to the first server", got, packets)
	}
}
