// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// carryOut is the time that a verdict takes to reach the kernel, at most, on a
// director that is not overloaded: the reconciler waits 20 ms for more changes.
const carryOut = 100 * time.Millisecond

// Budget is the detection budget of a service: the longest time from the death
// of one of its servers until the kernel knows, over the checks of its pool.
// Zero for a pool without checks.
func Budget(cfg *config.Config, s config.Service) time.Duration {
	var longest time.Duration
	pool, _ := cfg.Pool(s.Pool) // every reference of a loaded configuration resolves
	for _, name := range pool.Checks {
		check, _ := cfg.Check(name)
		longest = max(longest, check.Timing.Budget()+carryOut)
	}
	return longest
}
