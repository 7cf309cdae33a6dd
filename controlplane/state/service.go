// SPDX-License-Identifier: Apache-2.0

package state

import (
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// decideServices gives every service of the configuration its mode; was is what
// each goes on from.
func decideServices(was map[string]Service, s State, now time.Time) map[string]Service {
	services := map[string]Service{}
	for _, c := range s.Config.Services {
		services[c.Name] = decideService(was[c.Name], c, countPool(s, c), now)
	}
	return services
}

func decideService(was Service, c config.Service, t tally, now time.Time) Service {
	s := Service{
		Name: c.Name, Pool: c.Pool, Mode: was.Mode, Live: t.up, Since: was.Since, Held: was.Held,
		DecideBy: was.DecideBy, LingerUntil: was.LingerUntil, Orphans: orphans(c.Sorry.Orphans, t),
	}
	s.Reason = t.reason(c.Quorum)
	need := t.need(was.held(), c.Quorum)
	enough := t.reaches(need, false, c.Quorum.Percent)
	switch was.Mode {
	case ModePending:
		// Decided as soon as the missing results can no longer change the
		// outcome, or when time is up.
		switch {
		case enough && was.Held.apologises():
			s.Mode, s.LingerUntil = comeBack(c, now)
		case enough:
			s.Mode = ModeServe
		case !t.reaches(need, true, c.Quorum.Percent) || !now.Before(was.DecideBy):
			s.Mode = ModeSorry
		}
	case ModeServe, ModeLinger:
		if !enough {
			s.Mode = ModeSorry
		} else if was.Mode == ModeLinger && !now.Before(was.LingerUntil) {
			s.Mode = ModeServe
		}
	case ModeSorry:
		if enough {
			s.Mode, s.LingerUntil = comeBack(c, now)
		}
	}
	if s.Mode != ModePending {
		s.DecideBy, s.Held = time.Time{}, ModePending
	}
	if s.Mode != ModeLinger {
		s.LingerUntil = time.Time{}
	}
	if s.Mode != was.Mode {
		s.Since = now
	}
	return s
}

// held is the mode that the kernel is in.
func (s Service) held() Mode {
	if s.Mode == ModePending {
		return s.Held
	}
	return s.Mode
}

// apologises tells whether exchanges of the page may be in flight.
func (m Mode) apologises() bool { return m == ModeSorry || m == ModeLinger }

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
