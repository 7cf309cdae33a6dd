// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/packet"
)

// TestSource demands whole packets with right sums from the clients in turn.
func TestSource(t *testing.T) {
	kernel.RequireBPF(t)
	pass, err := newXDP("bench_pass", returns(xdpPass))
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	for _, v6 := range []bool{false, true} {
		m := mode{name: "packet", v6: v6}
		for name, f := range map[string]frame{"to the service": m.frame(packet.ACK), "back": m.answer()} {
			t.Run(m.String()+" "+name, func(t *testing.T) {
				s, err := newSource(f, pass)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for _, tt := range []struct {
					flows, times, after uint32
					address             byte
					port                uint16
				}{
					{1, 0, 0, 0, firstPort}, {1, 0, 7, 0, firstPort},
					{manyFlows, 0, manyFlows - 1, 0, firstPort + ports - 1}, {manyFlows, 0, manyFlows, 0, firstPort},
					{unheard, 0, 3*ports + 5, 3, firstPort + 5}, {manyFlows, 1, 9, 0, firstPort + 9},
				} {
					if err := s.begin(tt.flows, tt.times, tt.after); err != nil {
						t.Fatal(err)
					}
					for range 1 << tt.times {
						got := sentBy(t, s)
						client := got.Src
						if name == "back" {
							client = got.Dst
						}
						address := m.client().Addr().AsSlice()
						address[len(address)-1] += tt.address
						a, _ := netip.AddrFromSlice(address)
						if want := netip.AddrPortFrom(a, tt.port); client != want {
							t.Errorf("%+v: client %v, want %v", tt, client, want)
						}
					}
				}
			})
		}
	}
}

// sentBy runs the source once, on a frame that another has left longer.
func sentBy(t *testing.T, s *source) packet.TCP {
	t.Helper()
	used := append(make([]byte, ipv6Size), s.frame.bytes...)
	opts := ebpf.RunOptions{Data: used, DataOut: make([]byte, len(used))}
	if action, err := s.program.Run(&opts); err != nil || action != xdpPass {
		t.Fatalf("action %d, error %v", action, err)
	}
	p, err := packet.Parse(opts.DataOut)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ChecksumsOK(); err != nil {
		t.Error(err)
	}
	if p.TCP == nil || string(p.Payload) != "benchmark." {
		t.Fatalf("sent %+v", p)
	}
	return *p.TCP
}
