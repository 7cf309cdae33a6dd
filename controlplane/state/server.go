// SPDX-License-Identifier: Apache-2.0

package state

import (
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// decideServers gives every server of the new configuration its verdict: first what
// its checks say, and then, where all of that may be the director's own fault or an
// operator has decided, what is in force.
func (s *State) decideServers(old State, now time.Time) {
	s.Servers = map[ServerID]Server{}
	for _, pool := range s.Config.Pools {
		checks := poolChecks(s.Config, pool)
		for _, c := range pool.Servers {
			id := ServerID{Pool: pool.Name, Name: c.Name}
			server := Server{ID: id, Config: c, Probed: len(checks) > 0, Override: s.ServerOverrides[id]}
			var asked bool
			server.Own, server.OwnReason, asked = s.judge(pool.When(), checks, c)
			server.fall(predecessor(old, id, c), asked, now)
			s.Servers[id] = server
		}
	}
	s.Guard = s.decideGuard(old.Guard, now)
	for _, pool := range s.Config.Pools {
		checks := poolChecks(s.Config, pool)
		for _, c := range pool.Servers {
			id := ServerID{Pool: pool.Name, Name: c.Name}
			server, was := s.Servers[id], predecessor(old, id, c)
			server.settle(was, s.Guard, now)
			server.warm(was, now)
			server.weigh(s.factors(pool, checks, c), now)
			s.Servers[id] = server
		}
	}
}

// predecessor is the server that was checked under that name before. One that a reload
// brings has yet to warm up.
func predecessor(old State, id ServerID, c config.Server) Server {
	was, known := old.Servers[id]
	if known && sameHost(was.Config, c) {
		return was
	}
	return Server{Cold: len(old.Servers) > 0}
}

// fall keeps what the checks said before where they have nothing new to say: one that
// a reload has brought says nothing until its first result, and must not take a live
// server out of service by that. It notes when they took it from service. One that has
// asked for that did not fall: by its answer it was reached.
func (s *Server) fall(was Server, asked bool, now time.Time) {
	if s.Own == VerdictUnknown && was.Own.Serves() {
		s.Own, s.OwnReason = was.Own, s.OwnReason+", stays "+was.Own.String()
	}
	switch {
	case !s.Own.fails() || asked:
	case was.Own.Serves():
		s.Fell, s.Before, s.Gave = now, was.Own, was.Factors
	default:
		s.Fell, s.Before, s.Gave = was.Fell, was.Before, was.Gave
	}
}

// settle puts together what an operator, the guard and the checks say, in that order.
func (s *Server) settle(was Server, g Guard, now time.Time) {
	s.Verdict, s.Reason = s.Own, s.OwnReason
	if s.Held = g.holds(*s); s.Held {
		s.Verdict, s.Reason = s.Before, "held as it was, switching is frozen; "+s.OwnReason
	}
	if v, decided := s.Override.verdict(); decided {
		s.Verdict = v
	}
	if !s.Override.none() {
		s.Reason = s.Override.said() + "; " + s.Reason
	}
	s.Since = now
	if s.Verdict == was.Verdict && !was.Since.IsZero() {
		s.Since = was.Since
	}
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
