// SPDX-License-Identifier: Apache-2.0

package state

import (
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// decideServers gives every server of the new configuration its verdict.
func decideServers(old, next State, now time.Time) map[ServerID]Server {
	servers := map[ServerID]Server{}
	for _, pool := range next.Config.Pools {
		checks := poolChecks(next.Config, pool)
		for _, c := range pool.Servers {
			id := ServerID{Pool: pool.Name, Name: c.Name}
			s := Server{ID: id, Config: c, Since: now}
			s.Verdict, s.Reason = judge(next.Probes, checks, c)
			was, known := old.Servers[id]
			if known && sameHost(was.Config, c) {
				s = settle(was, s)
			}
			if s.Verdict == VerdictUp {
				s.Weight = c.Weight
			}
			servers[id] = s
		}
	}
	return servers
}

// judge asks all checks of a server. A failure decides at once: it is known
// whatever the missing results will be. The worst failure names the reason.
func judge(probes map[checkers.Key]Probe, checks []config.Check, c config.Server) (Verdict, string) {
	if len(checks) == 0 {
		return VerdictUp, "no checks"
	}
	verdict, reason := VerdictUp, "all checks pass"
	for _, check := range checks {
		p := probes[probeKey(check, c)]
		v := p.verdict()
		if severity(v) <= severity(verdict) {
			continue
		}
		verdict, reason = v, check.Name+": "+p.Message
		if v == VerdictUnknown {
			reason = check.Name + ": no result yet"
		}
	}
	return verdict, reason
}

// verdict is what a probe alone says of its server.
func (p Probe) verdict() Verdict {
	switch p.Status {
	case checkers.StatusUp, checkers.StatusFalling:
		return VerdictUp
	case checkers.StatusDown, checkers.StatusRising:
		if p.Class.Hard() {
			return VerdictDown
		}
		return VerdictDrain
	case checkers.StatusUnknown:
	}
	return VerdictUnknown
}

// severity orders verdicts: which one wins among the checks of a server.
func severity(v Verdict) int {
	switch v {
	case VerdictUp:
		return 0
	case VerdictUnknown:
		return 1
	case VerdictDrain:
		return 2
	case VerdictDown:
		return 3
	}
	return 0
}

// settle keeps what was decided before where there is nothing new to say: a
// check that a reload has brought says nothing until its first result, and must
// not take a live server out of service by that.
func settle(was, s Server) Server {
	if s.Verdict == VerdictUnknown && was.Verdict == VerdictUp {
		s.Verdict, s.Reason = VerdictUp, s.Reason+", stays up"
	}
	if s.Verdict == was.Verdict {
		s.Since = was.Since
	}
	return s
}

// sameHost tells whether a server of a new configuration is the one that was
// checked under that name before.
func sameHost(a, b config.Server) bool {
	return a.Address == b.Address && a.Port == b.Port
}

func poolChecks(cfg *config.Config, pool config.Pool) []config.Check {
	checks := make([]config.Check, 0, len(pool.Checks))
	for _, name := range pool.Checks {
		if check, ok := cfg.Check(name); ok {
			checks = append(checks, check)
		}
	}
	return checks
}
