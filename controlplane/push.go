// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// Push hands what somebody tells of a server to the check that waits for it,
// which passes it on at its next run.
func (s *Server) Push(_ context.Context, p api.Push) (api.Pushed, error) {
	const longest = 24 * 60 * 60 // seconds
	refuse := func(format string, args ...any) (api.Pushed, error) {
		return api.Pushed{}, &api.FilterError{Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.opts.Pushes == nil:
		return api.Pushed{}, fmt.Errorf("push to check %s: this daemon takes none", p.Check)
	case p.Outcome == checkers.OutcomeUnknown:
		return refuse("say how the server is: pass, degraded or fail")
	case p.Percent < 0 || p.Percent > checkers.MaxPercent:
		return refuse("a weight of %d percent is out of range: 1 to %d", p.Percent, checkers.MaxPercent)
	case p.Seconds < 0 || p.Seconds > longest:
		return refuse("a push holds for 24h at most")
	}
	cfg := s.current()
	check, ok := cfg.Check(p.Check)
	if !ok || check.Type != "push" {
		names := pushNames(cfg)
		return refuse("there is no check of type push named %q%s: there are %s", p.Check, config.DidYouMean(p.Check, names), few(names))
	}
	keys, servers := pushTargets(cfg, check, p.Server)
	if len(keys) == 0 {
		return refuse("no pool with check %q has a server %q%s: there are %s", p.Check, p.Server, config.DidYouMean(p.Server, servers), few(servers))
	}
	var pushed api.Pushed
	for _, key := range keys {
		s.opts.Pushes.Put(key, kind.Push{
			Outcome: p.Outcome, Message: p.Message, Percent: p.Percent, TTL: time.Duration(p.Seconds * float64(time.Second)),
		})
		pushed.Probes = append(pushed.Probes, api.ProbeKey{Check: key.Check, Target: targetText(key.Target)})
	}
	return pushed, nil
}

// setProbes hands the scheduler what a configuration has it run, and has forgotten
// what that does not need.
func (s *Server) setProbes(probes []checkers.Probe) {
	s.parts.Prober.Set(probes)
	if s.opts.Keep != nil {
		s.opts.Keep(probes)
	}
}

func pushNames(cfg *config.Config) []string {
	var names []string
	for _, c := range cfg.Checks {
		if c.Type == "push" {
			names = append(names, c.Name)
		}
	}
	return names
}

// pushTargets are the probes of a check on the servers of that name, and the
// names that there are.
func pushTargets(cfg *config.Config, check config.Check, server string) (keys []checkers.Key, servers []string) {
	for _, pool := range cfg.Pools {
		if !slices.Contains(pool.Checks, check.Name) {
			continue
		}
		for _, s := range pool.Servers {
			whole := pool.Name + "/" + s.Name
			servers = append(servers, whole)
			if !slices.Contains([]string{whole, s.Name, s.Address.String()}, server) {
				continue
			}
			key := checkers.Key{Check: check.Name, Target: check.Target(s)}
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys, servers
}
