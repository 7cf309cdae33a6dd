// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

// BenchmarkForward measures what XDP takes for a packet that is forwarded by dr,
// over the floor of BenchmarkXDP: the least that any program takes to send one.
// Flows have the room that they have by default.
func BenchmarkForward(b *testing.B) {
	r := newSizedForwardRig(b, func(spec *ebpf.CollectionSpec) {
		flows, fresh := spec.Maps[DirectorMapFlows].MaxEntries, spec.Maps[DirectorMapFresh].MaxEntries
		shrink(spec)
		spec.Maps[DirectorMapFlows].MaxEntries, spec.Maps[DirectorMapFresh].MaxEntries = flows, fresh
	})
	setting := DirectorForwardSetting{TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300, FreshLimit: 1 << 30}
	flood := setting
	flood.FreshLimit = 0
	for _, x := range traffics() {
		first := packet.SYN
		for _, bench := range []struct {
			name    string
			flags   packet.Flags
			vary    variation
			setting DirectorForwardSetting
		}{
			{"hot flow", packet.ACK, same, setting},
			{"65536 flows", packet.ACK, flows64, setting},
			{"first packet", first, clients, setting},
			{"first packet, not noted", first, clients, flood},
		} {
			b.Run(x.name+"/"+bench.name, func(b *testing.B) {
				r.tune(b, bench.setting)
				r.benchmark(b, r.MaitredXdp, x.frame(bench.flags, 0, packet.IP{}, packet.Link{}), bench.vary)
			})
		}
	}
}

// benchmark reports the time over the floor, the instructions that the verifier
// walked through and the size of the code. All flows are known before it begins,
// unless each packet is another's.
func (r *forwardRig) benchmark(b *testing.B, p *ebpf.Program, frame []byte, vary variation) {
	b.Helper()
	const sent, redirected, flows = 3, 4, 1 << 16
	with := restoreProgram(b, frame, p, vary)
	if vary != clients {
		for range 3 { // noted, noted for good, and not the first any more
			if err := r.in.Do(func() error {
				_, _, err := with.Benchmark(frame, flows, nil)
				return err
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	mean := measure(b, r.in, with, frame, redirected)
	floor := measure(b, r.in, restoreProgram(b, frame, swapProgram(b), vary), frame, sent)
	info, err := p.Info()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(mean-floor)/float64(time.Nanosecond), "ns-over-floor")
	if n, ok := info.VerifiedInstructions(); ok {
		b.ReportMetric(float64(n), "verified")
	}
	if n, err := info.JitedSize(); err == nil {
		b.ReportMetric(float64(n), "B-jited")
	}
}
