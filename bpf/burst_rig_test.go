// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// burstRig sees what tc sends beside what a test run gives back: all but the last
// segment of a burst. A test run's frames come by the loopback interface, and so
// do those.
type burstRig struct {
	*rig
	lo    wire
	asked []uint32 // the numbers of packets that may have brought a block
}

func newBurstRig(t *testing.T) *burstRig {
	t.Helper()
	r := &burstRig{rig: newRig(t)}
	r.in = netlab.Make(t, "burst")
	if err := r.in.Up("lo"); err != nil {
		t.Fatal(err)
	}
	r.lo = plugInto(t, r.in, "lo")
	return r
}

// clones takes what was sent since the last time; none where there is no rig.
func (r *burstRig) clones() (frames [][]byte) {
	if r == nil {
		return nil
	}
	for {
		b := make([]byte, 4096)
		n, _, _, from, err := unix.Recvmsg(r.lo.fd, b, nil, unix.MSG_DONTWAIT)
		if err != nil {
			return frames
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			frames = append(frames, b[:n])
		}
	}
}

// forget makes as if all bursts were long ago.
func (r *burstRig) forget() error {
	r.asked = nil
	return zero(r.Bursts, ebpf.MustPossibleCPU())
}

// ask notes what is asked for by a number.
func (r *burstRig) ask(number uint32) {
	if r != nil {
		r.asked = append(r.asked, number)
	}
}

// forgetAsked makes as if the bursts that were asked for were long ago: there are
// far more rows than an exchange has packets.
func (r *burstRig) forgetAsked() error {
	if r == nil {
		return nil
	}
	nothing := make([]uint64, ebpf.MustPossibleCPU())
	for _, number := range r.asked {
		if err := r.Bursts.Put(number%r.Bursts.MaxEntries(), nothing); err != nil {
			return err
		}
	}
	r.asked = r.asked[:0]
	return nil
}

// recall makes as if a number had brought its block just now, whatever CPU it came
// to.
func (r *burstRig) recall(t *testing.T, number uint32) {
	t.Helper()
	rows := make([]uint64, ebpf.MustPossibleCPU())
	for i := range rows {
		rows[i] = uint64(uint32(uptimeNS(t)/1e6))<<32 | uint64(number)
	}
	put(t, r.Bursts, number%r.Bursts.MaxEntries(), rows)
}

// spend makes as if XDP had left to tc all that it may, or nothing.
func (r *burstRig) spend(t *testing.T, all bool) {
	t.Helper()
	rows := make([]DirectorBudget, ebpf.MustPossibleCPU())
	for i := range rows {
		if rows[i].Window = uint64(uptimeNS(t)) / 1e6 / 100; all {
			rows[i].Used = 1 << 20
		}
	}
	put(t, r.Deferrals, uint32(0), rows)
}

// burstOf is what a block from offset to end is to be, in segments of size that
// are to end where their position is a multiple of it.
func burstOf(p packet.TCP, page []byte, offset, end_, size, shift int) (segments []packet.TCP) {
	for at := offset; at < end_; {
		n := min(end_-at, size-(at+shift)%size)
		s := packet.TCP{Seq: p.Ack + uint32(at-offset), Ack: end(p) - 1, Flags: packet.ACK | packet.PSH, Payload: page[at : at+n]}
		if at += n; at == len(page) {
			s.Flags |= packet.FIN
		}
		segments = append(segments, *answerTo(p, s))
	}
	return segments
}

// sent runs a frame by tc, or by XDP and then by tc if that is to have it, and gives
// all that was sent.
func (r *burstRig) sent(t *testing.T, p program, frame []byte) (frames [][]byte) {
	t.Helper()
	r.clones()
	ret, out, err := p.run(bytes.Clone(frame))
	if err != nil {
		t.Fatal(err)
	}
	if p.name == "xdp" && ret == p.pass {
		if !bytes.Equal(out, frame) {
			t.Errorf("XDP has changed what it passed")
		}
		return r.sent(t, r.programs()[1], frame)
	}
	frames = r.clones()
	if ret == p.send {
		frames = append(frames, out)
	}
	return frames
}
