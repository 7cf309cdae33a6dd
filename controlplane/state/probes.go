// SPDX-License-Identifier: Apache-2.0

package state

import (
	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// Probes lists what the scheduler has to run for a configuration: one probe for
// each check and target, however many pools and services use it, in the order
// of the configuration.
func Probes(cfg *config.Config) []checkers.Probe {
	var probes []checkers.Probe
	seen := map[checkers.Key]bool{}
	for _, pool := range cfg.Pools {
		for _, name := range pool.Checks {
			check, ok := cfg.Check(name)
			if !ok {
				continue // validation refuses it
			}
			for _, server := range pool.Servers {
				key := probeKey(check, server)
				if seen[key] {
					continue
				}
				seen[key] = true
				probes = append(probes, checkers.Probe{
					Key: key, Checker: check.Checker, Timing: check.Timing, Fingerprint: check.Fingerprint,
				})
			}
		}
	}
	return probes
}

// probeKey names the probe of a check on a server.
func probeKey(check config.Check, server config.Server) checkers.Key {
	kind, _ := checkers.Lookup(check.Type)
	return checkers.Key{Check: check.Name, Target: check.Target(server, kind.DefaultPort)}
}
