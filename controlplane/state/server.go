// SPDX-License-Identifier: Apache-2.0

package state

import (
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// decideServers gives every server of the new configuration its verdict.
func decideServers(old, next State, now time.Time) map[ServerID]Server {
	servers := map[ServerID]Server{}
	running := len(old.Servers) > 0
	for _, pool := range next.Config.Pools {
		checks := poolChecks(next.Config, pool)
		for _, c := range pool.Servers {
			id := ServerID{Pool: pool.Name, Name: c.Name}
			s := Server{ID: id, Config: c, Since: now}
			s.Verdict, s.Reason = next.judge(pool.When(), checks, c)
			was, known := old.Servers[id]
			if known && sameHost(was.Config, c) {
				s = settle(was, s)
			} else {
				was = Server{Cold: running} // one that a reload brings has yet to warm up
			}
			s.warm(was, now)
			s.weigh(next.factors(pool, checks, c), now)
			servers[id] = s
		}
	}
	return servers
}

// settle keeps what was decided before where there is nothing new to say: a
// check that a reload has brought says nothing until its first result, and must
// not take a live server out of service by that.
func settle(was, s Server) Server {
	if s.Verdict == VerdictUnknown && was.Verdict.Serves() {
		s.Verdict, s.Reason = was.Verdict, s.Reason+", stays "+was.Verdict.String()
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
