// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// TestFloodOfRightPackets has every packet of a flood be one that a kernel takes.
func TestFloodOfRightPackets(t *testing.T) {
	f := &flooder{from: netip.MustParsePrefix("100.64.0.0/10")}
	f.template = f.blank(netip.MustParseAddrPort("198.51.100.10:80"), packet.SYN, packet.MAC{2})
	seen := map[netip.AddrPort]bool{}
	const n = 10000
	for range n {
		var frame [tcpFrame]byte
		f.fill(&frame)
		p, err := packet.Parse(frame[:])
		if err != nil {
			t.Fatal(err)
		}
		if err := p.ChecksumsOK(); err != nil {
			t.Fatalf("%+v: %v", p.TCP, err)
		}
		if !f.from.Contains(p.Src) || p.TCP.Src.Port() < firstPort || p.TCP.Flags != packet.SYN {
			t.Fatalf("%+v", p.TCP)
		}
		seen[p.TCP.Src] = true
	}
	if len(seen) < n-10 {
		t.Errorf("%d sources in %d packets", len(seen), n)
	}
}
