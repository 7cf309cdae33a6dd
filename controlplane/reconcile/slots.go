// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// Slots tells how many slots each server has in the ring that is wanted for a
// virtual service; false where none is.
func (w Want) Slots(v config.Virtual) (map[maps.ServerID]int, bool) {
	share, ok := w.Shares[v]
	if !ok {
		return nil, false
	}
	ring := share.draw(func(id maps.ServerID) maps.ServerState { return w.Servers[id].State }).ring()
	slots := map[maps.ServerID]int{}
	for _, member := range ring.Slots {
		slots[ring.Servers[member]]++
	}
	return slots, true
}
