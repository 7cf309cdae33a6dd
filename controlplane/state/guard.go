// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// Guard keeps servers as they were when so many fall at once that the director is
// more likely to be cut off than they are to be dead, and its canaries say so, too.
type Guard struct {
	Frozen bool
	Why    string
	Since  time.Time
	From   time.Time // servers that fell since then are held
	Until  time.Time // when it ends at the latest
	// Thaw is when it ends because a canary passes again; zero: none does. Until
	// then servers have time to be found up.
	Thaw  time.Time
	Ended time.Time // the last one: what fell before does not freeze again
}

// holds tells whether a server stays as it was before its checks failed.
func (g Guard) holds(s Server) bool {
	return g.Frozen && s.Own.fails() && !s.Fell.IsZero() && !s.Fell.Before(g.From)
}

// decideGuard freezes and thaws.
func (s State) decideGuard(was Guard, now time.Time) Guard {
	c := s.Config.Guard
	switch {
	case len(c.Canaries) == 0:
		return Guard{}
	case was.Frozen:
		return s.thaw(was, now)
	}
	probed, fallen := 0, 0
	for _, server := range s.Servers {
		if !server.Probed || server.Own == VerdictUnknown {
			continue
		}
		probed++
		if !server.Fell.IsZero() && now.Sub(server.Fell) <= c.Within && server.Fell.After(was.Ended) {
			fallen++
		}
	}
	passes, says := s.canaries()
	if passes || says == "" || float64(fallen) <= c.Fraction*float64(probed) {
		return was
	}
	return Guard{
		Frozen: true, Since: now, From: now.Add(-c.Within), Until: now.Add(c.Max), Ended: was.Ended,
		Why: fmt.Sprintf("%d of %d servers went down within %v, and %s", fallen, probed, c.Within, says),
	}
}

// thaw ends a freeze: some time after a canary passes again, at once if no server is
// held any more by then, and in any case when its longest time is over.
func (s State) thaw(g Guard, now time.Time) Guard {
	passes, _ := s.canaries()
	switch {
	case !passes:
		g.Thaw = time.Time{}
	case g.Thaw.IsZero():
		g.Thaw = now.Add(recovery(s.Config))
	}
	held := false
	for _, server := range s.Servers {
		held = held || g.holds(server)
	}
	if !now.Before(g.Until) || passes && (!held || !now.Before(g.Thaw)) {
		return Guard{Ended: now}
	}
	return g
}

// canaries tells whether one of them passes, and if all of them fail what they say.
func (s State) canaries() (passes bool, says string) {
	var failures []string
	for _, c := range s.Config.Guard.Canaries {
		p := s.Probes[canaryKey(s.Config, c)]
		switch v := p.verdict(); {
		case v.Serves():
			return true, ""
		case v.fails():
			failures = append(failures, fmt.Sprintf("the canary %s at %s fails: %s", c.Check, c.Target, p.Message))
		}
	}
	if len(failures) < len(s.Config.Guard.Canaries) {
		return false, ""
	}
	return false, strings.Join(failures, ", ")
}

// canaryKey names the probe of a canary.
func canaryKey(cfg *config.Config, c config.Canary) checkers.Key {
	check, _ := cfg.Check(c.Check) // every reference of a loaded configuration resolves
	return checkers.Key{Check: c.Check, Target: check.Target(config.Server{Address: c.Target})}
}

// recovery is how long it takes at most to find out that a dead server is back.
func recovery(cfg *config.Config) time.Duration {
	var longest time.Duration
	for _, p := range Probes(cfg) {
		t := p.Timing
		// A server rises as it falls: so many results in a row.
		t.Fall, t.Window, t.Interval = t.Rise, checkers.Window{}, max(t.Interval, t.DownInterval)
		longest = max(longest, t.Budget())
	}
	return longest + grace
}

// guardChanges tells that switching is frozen, or no longer.
func guardChanges(old, next State, now time.Time) []Change {
	was, is := old.Guard, next.Guard
	c := Change{At: now, Kind: KindGuard, Name: next.Config.Director.Name}
	passes, _ := next.canaries()
	switch {
	case !was.Frozen && is.Frozen:
		c.From, c.To, c.Reason = "switching", "frozen", is.Why
	case !was.Frozen || is.Frozen:
		return nil
	case passes:
		c.From, c.To, c.Reason = "frozen", "switching", "a canary passes again"
	case len(next.Config.Guard.Canaries) == 0:
		c.From, c.To, c.Reason = "frozen", "switching", "the configuration has no guard"
	default:
		c.From, c.To, c.Reason = "frozen", "switching", fmt.Sprintf("%v are over", next.Config.Guard.Max)
	}
	return []Change{c}
}
