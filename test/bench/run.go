// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
)

// arriving is struct xdp_md or __sk_buff of linux/bpf.h for a frame of so many
// bytes that comes in by the interface of that index.
func (h hook) arriving(bytes, index int) []uint32 {
	const word = 4
	context := make([]uint32, max(h.end, h.index)/word+1)
	context[h.index/word] = uint32(index)
	if h.kind == ebpf.XDP {
		context[h.end/word] = uint32(bytes)
	}
	return context
}

// begins is the packet that the source makes its frame of. Where answers change its
// end that is another than the frame's: what the source leaves as it was the kernel
// takes to be so still when it uses the memory again (live frames, Linux 6.18).
func (s *source) begins() []byte {
	if !s.frame.answer {
		return s.frame.bytes
	}
	return append(s.frame.bytes[:len(s.frame.bytes):len(s.frame.bytes)], 0, 0)
}

// repeat runs the source so many times on one packet after the other that go
// nowhere. It tells what the last run returned, and what each has cost.
func (s *source) repeat(n *netlab.Namespace, index int, times uint32) (action uint32, each time.Duration, err error) {
	err = n.Do(func() error {
		packet := s.begins()
		opts := ebpf.RunOptions{Data: packet, Context: s.hook.arriving(len(packet), index), Repeat: times}
		start := startWatch()
		if action, err = s.program.Run(&opts); err != nil {
			return err
		}
		took, err := start.stop()
		each = took.own / time.Duration(times)
		return err
	})
	return action, each, err
}

// load is what was sent, what became of it, and what it cost.
type load struct {
	sent, arrived uint64
	took          effort
}

// perSecond is how many packets arrived for each second of a CPU.
func (l load) perSecond() float64 { return float64(l.arrived) / l.took.own.Seconds() }

// share is the part of the packets that arrived.
func (l load) share() float64 { return float64(l.arrived) / float64(l.sent) }

func (l load) add(m load) load {
	return load{l.sent + m.sent, l.arrived + m.arrived, l.took.add(m.took)}
}

// send puts so many packets into the interface of that index as its driver would.
// sink counts those that arrive; nil: all do. The kernel prepares each send, for a
// millisecond or so: one is to be of many packets.
func (s *source) send(n *netlab.Namespace, index int, sink *ebpf.Map, packets uint32) (l load, err error) {
	count := func() (uint64, error) { return l.sent, nil }
	if sink != nil {
		count = func() (uint64, error) { return arrived(sink) }
	}
	began, err := count()
	if err != nil {
		return load{}, err
	}
	err = n.Do(func() error {
		packet := s.begins()
		start := startWatch()
		_, err := s.program.Run(&ebpf.RunOptions{
			Data: packet, Context: s.hook.arriving(len(packet), index), Repeat: packets, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES,
		})
		if err != nil {
			return fmt.Errorf("send packets: %w", err)
		}
		l.took, err = start.stop()
		return err
	})
	if err != nil {
		return load{}, err
	}
	l.sent = uint64(packets)
	ended, err := count()
	l.arrived = ended - began
	return l, err
}

// median of an odd number of values.
func median[T time.Duration | float64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
