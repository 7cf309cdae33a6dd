// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// Probes lists what the scheduler has to run for a configuration: one probe for
// each check and target, however many pools and services use it, in the order
// of the configuration; and then the canaries of the guard.
func Probes(cfg *config.Config) []checkers.Probe {
	var probes []checkers.Probe
	seen := map[checkers.Key]bool{}
	errands := cfg.Errands()
	for _, pool := range cfg.Pools {
		for _, check := range poolChecks(cfg, pool) {
			for _, server := range pool.Servers {
				key := probeKey(check, server)
				if seen[key] {
					continue
				}
				seen[key] = true
				p := checkers.Probe{
					Key: key, Checker: check.Checker, Timing: check.Timing, Fingerprint: check.Fingerprint,
				}
				service, _, asked := cfg.Asked(check, pool, server)
				if asked {
					p = through(p, errands[config.Errand{Service: service.Name, Pool: pool.Name, Server: server.Name}])
				}
				probes = append(probes, p)
			}
		}
	}
	for _, c := range cfg.Guard.Canaries {
		check, _ := cfg.Check(c.Check)
		if key := canaryKey(cfg, c); !seen[key] {
			seen[key] = true
			probes = append(probes, checkers.Probe{Key: key, Checker: check.Checker, Timing: check.Timing, Fingerprint: check.Fingerprint})
		}
	}
	return probes
}

// through makes a probe take the way of the data.
func through(p checkers.Probe, m config.Marked) checkers.Probe {
	p.Checker = kind.Through(p.Checker, kind.Way{Service: m.At, Mark: m.Mark})
	p.Fingerprint += fmt.Sprintf(" at %s by mark %#x", m.At, m.Mark)
	return p
}

// probeKey names the probe of a check on a server.
func probeKey(check config.Check, server config.Server) checkers.Key {
	return checkers.Key{Check: check.Name, Target: check.Target(server)}
}
