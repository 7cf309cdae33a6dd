// SPDX-License-Identifier: Apache-2.0

package state

import (
	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// Count is the arithmetic behind the mode of a service: servers, or per cent of
// the pool's weight, as its quorum counts them.
type Count struct {
	Has   int // now
	Keep  int // what it needs to go on serving
	Reach int // what it needs to come back
}

// Count tells what was counted for a service and what is asked.
func (s State) Count(c config.Service) Count {
	t := countPool(s, c)
	out := Count{
		Has:  t.up,
		Keep: max(t.need(ModeServe, c.Quorum), 1), Reach: max(t.need(ModeSorry, c.Quorum), 1),
	}
	if c.Quorum.Percent {
		out.Has = t.upWeight * 100 / max(t.weightInTotal, 1)
	}
	return out
}

// Keys names the probes that decide on a server of the pool.
func Keys(cfg *config.Config, pool config.Pool, server config.Server) []checkers.Key {
	var keys []checkers.Key
	for _, check := range poolChecks(cfg, pool) {
		keys = append(keys, probeKey(check, server))
	}
	return keys
}
