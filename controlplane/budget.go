// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// carryOut is the time that a verdict takes to reach the kernel, at most, on a
// director that is not overloaded: the reconciler waits 20 ms for more changes.
const carryOut = 100 * time.Millisecond

// Budget is the detection budget of a service: the longest time from the death
// of one of its servers until the kernel knows, over the checks of its pool on
// the servers that can serve it. Zero for a pool without checks.
func Budget(cfg *config.Config, s config.Service) time.Duration {
	return newBudgets(cfg).of(s)
}

// budgets knows the detection budgets of a configuration: what one check can
// promise depends on all that share its targets.
type budgets struct {
	cfg    *config.Config
	probes map[checkers.Key]time.Duration
}

func newBudgets(cfg *config.Config) budgets {
	return budgets{cfg, checkers.Budgets(state.Probes(cfg))}
}

func (b budgets) of(s config.Service) time.Duration {
	var longest time.Duration
	pool, _ := b.cfg.Pool(s.Pool) // every reference of a loaded configuration resolves
	for _, name := range pool.Checks {
		check, _ := b.cfg.Check(name)
		for _, server := range pool.Serving(s) {
			key := checkers.Key{Check: name, Target: check.Target(server)}
			longest = max(longest, b.probes[key]+carryOut)
		}
	}
	return longest
}
