// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// TestRoomKeepsToItsMemory goes through sizes on both sides of powers of two: the
// tables never take more than they may, nor a flow more than 100 bytes of its own
// table.
func TestRoomKeepsToItsMemory(t *testing.T) {
	for memory := int64(1 << 20); memory < 1<<31; memory = memory*9/8 + 1 {
		for sources := range 2 {
			cfg := shop("/nowhere")
			cfg.Director.Connections.Memory = memory
			cfg.Director.FullNAT.Sources = make([]netip.Addr, sources)
			o := tableSizes(cfg, config.ForwardingEBPF)
			if took := tableMemory(cfg); took > uint64(memory) || took < uint64(memory)/3 {
				t.Errorf("of %d bytes, full NAT %t, %d flows take %d", memory, o.FullNAT, o.Flows, took)
			}
			if each := float64(tableBytes(o.Flows, flowBytes)) / float64(o.Flows); each > 100 {
				t.Errorf("of %d bytes, full NAT %t: %d flows of %.1f bytes", memory, o.FullNAT, o.Flows, each)
			}
		}
	}
}
