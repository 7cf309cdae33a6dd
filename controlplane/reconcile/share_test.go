// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/maps"
)

// TestDownMovesNobodyElse: the hashes of other servers' clients stay where they
// are while one is down, and all are as before once it is back.
func TestDownMovesNobodyElse(t *testing.T) {
	s := Share{Spread: maps.SpreadAddress}
	for i := range byte(7) {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i + 1}), 80)
		s.Members = append(s.Members, Member{Server: maps.ServerID{Addr: at}, Weight: 100})
	}
	gone := s.Members[3].Server
	owners := func(down bool) (out []maps.ServerID, digest uint64) {
		r := s.draw(func(id maps.ServerID) maps.ServerState {
			if down && id == gone {
				return maps.ServerDown
			}
			return maps.ServerUp
		}).ring()
		for _, slot := range r.Slots {
			out = append(out, r.Servers[slot])
		}
		return out, r.Digest
	}
	before, was := owners(false)
	during, is := owners(true)
	if was == is || len(before) != len(during) {
		t.Fatalf("rings of %d and %d slots, digests %x and %x", len(before), len(during), was, is)
	}
	for i, id := range before {
		if moved := during[i] != id; moved != (id == gone) || during[i] == gone {
			t.Fatalf("slot %d of %v is %v's while %v is down", i, id.Addr, during[i].Addr, gone.Addr)
		}
	}
}
