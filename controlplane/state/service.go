// SPDX-License-Identifier: Apache-2.0

package state

import (
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// grace is added to the detection budget before a pending service is decided
// without the results that are missing: time for a late run to report.
const grace = time.Second

// decideServices gives every service of the new configuration its mode.
func decideServices(old, next State, now time.Time) map[string]Service {
	services := map[string]Service{}
	for _, c := range next.Config.Services {
		was, known := old.Services[c.Name]
		if !known || was.Pool != c.Pool {
			// Another pool is another service: what the kernel holds is left
			// in force until enough is known of the new servers.
			was = Service{Since: now, DecideBy: decideBy(next.Config, c, now)}
		}
		services[c.Name] = decideService(was, c, countPool(next, c), now)
	}
	return services
}

func decideService(was Service, c config.Service, t tally, now time.Time) Service {
	s := Service{
		Name: c.Name, Pool: c.Pool, Mode: was.Mode, Live: t.up, Since: was.Since,
		DecideBy: was.DecideBy, LingerUntil: was.LingerUntil, Orphans: orphans(c.Sorry.Orphans, t),
	}
	s.Reason = t.reason(c.Quorum)
	switch was.Mode {
	case ModePending:
		s.Mode = firstMode(t, c.Quorum, !now.Before(was.DecideBy))
	case ModeServe, ModeLinger:
		if !t.holds(c.Quorum) {
			s.Mode = ModeSorry
		} else if was.Mode == ModeLinger && !now.Before(was.LingerUntil) {
			s.Mode = ModeServe
		}
	case ModeSorry:
		if t.recovers(c.Quorum) {
			s.Mode, s.LingerUntil = comeBack(c, now)
		}
	}
	if s.Mode != ModePending {
		s.DecideBy = time.Time{}
	}
	if s.Mode != ModeLinger {
		s.LingerUntil = time.Time{}
	}
	if s.Mode != was.Mode {
		s.Since = now
	}
	return s
}

// firstMode decides a service on which nothing was decided before: as soon as
// the missing results can no longer change the outcome, or when time is up.
func firstMode(t tally, q config.Quorum, timeUp bool) Mode {
	switch {
	case t.reaches(q.Min, false, q.Percent):
		return ModeServe
	case timeUp || !t.reaches(q.Min, true, q.Percent):
		return ModeSorry
	}
	return ModePending
}

// comeBack is the mode after an outage: exchanges of the page, where there is
// one, are finished first.
func comeBack(c config.Service, now time.Time) (Mode, time.Time) {
	if c.Sorry.Page == "" || c.Sorry.Linger <= 0 || c.Protocol != config.TCP {
		return ModeServe, time.Time{}
	}
	return ModeLinger, now.Add(c.Sorry.Linger)
}

// orphans resolves auto: packets of old connections are worth passing while a
// server that may know them still talks.
func orphans(o config.Orphans, t tally) config.Orphans {
	switch o {
	case config.OrphansReset, config.OrphansPass, config.OrphansDrop:
		return o
	case config.OrphansAuto:
	}
	if t.up+t.drain > 0 {
		return config.OrphansPass
	}
	return config.OrphansReset
}

// decideBy is when a service is decided whatever is known: the longest that a
// check of its pool may take to find a dead server, and a grace.
func decideBy(cfg *config.Config, c config.Service, now time.Time) time.Time {
	var budget time.Duration
	pool, _ := cfg.Pool(c.Pool)
	for _, check := range poolChecks(cfg, pool) {
		budget = max(budget, check.Timing.Budget())
	}
	return now.Add(budget + grace)
}
