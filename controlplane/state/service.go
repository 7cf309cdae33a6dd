// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// decideServices gives every service of the configuration its mode; was is what
// each goes on from.
func decideServices(was map[string]Service, s State, now time.Time) map[string]Service {
	services := map[string]Service{}
	for _, c := range s.Config.Services {
		services[c.Name] = s.decideService(was[c.Name], c, now)
	}
	return services
}

func (s State) decideService(was Service, c config.Service, now time.Time) Service {
	t, spare := countPool(s, c), countServers(s, c, c.Sorry.Pool)
	load, known := s.Loads[c.Name]
	next := Service{
		Name: c.Name, Pool: c.Pool, Live: t.up, Since: was.Since, Orphans: orphans(c.Sorry.Orphans, t, spare),
		Override: s.Overrides[c.Given()], Own: decideOwn(was, c, t, spare, now), DecideBy: was.DecideBy, Held: was.Held,
		Overload: decideOverload(was.Overload, c.Shed, load, known, now), Reason: t.reason(c.Quorum),
	}
	if next.Own != ModePending {
		next.DecideBy, next.Held = time.Time{}, ModePending
	}
	settleMode(&next, c, spare)
	switch {
	case next.Own != ModePending:
	case next.Mode != ModePending && c.Sorry.Orphans == config.OrphansAuto:
		next.Orphans = config.OrphansPass // as yet nothing says that their servers are dead
	case was.Mode != ModePending:
		next.Held = was.Mode
	}
	s.finishExchanges(was, &next, c, now)
	next.Page = s.shownPage(was, next, c)
	if next.Mode != was.Mode {
		next.Since = now
	}
	return next
}

// decideOwn is what the servers of the service's own pool make of it.
func decideOwn(was Service, c config.Service, t, spare tally, now time.Time) Mode {
	held := was.Own
	if held == ModePending {
		held = was.Held
	}
	need := t.need(held, c.Quorum)
	switch {
	case t.reaches(need, false, c.Quorum.Percent):
		return ModeServe
	case was.Own != ModePending || !now.Before(was.DecideBy):
	case t.reaches(need, true, c.Quorum.Percent), spare.up == 0 && spare.unknown > 0:
		// Decided as soon as the missing results can no longer change the
		// outcome, or when time is up. Those in reserve may be serving.
		return ModePending
	}
	return ModeSorry
}

// settleMode puts together what operators, servers and the load say, and why: in
// that order.
func settleMode(next *Service, c config.Service, spare tally) {
	o, counted := next.Override, next.Reason
	sheds := o.Mode == OverrideShed && c.Protocol == config.TCP
	switch {
	case o.Mode == OverrideOn && c.Local() && spare.up > 0: // the page as well, and inside TLS
		next.Mode, next.Reason = ModeBackup, o.said()+"; "+counted
	case o.Mode == OverrideOn:
		next.Mode, next.Reason = ModeSorry, o.said()+"; "+counted
	case o.Mode == OverrideOff:
		next.Mode, next.Reason = ModeServe, o.said()+"; "+counted
	case next.Own == ModeServe && sheds:
		next.Mode, next.Shed, next.Reason = ModeShed, o.Shed, o.said()+"; "+counted
	case next.Own == ModePending:
		next.Mode = ModePending
	case next.Own == ModeServe && next.Overload.On:
		next.Mode, next.Shed = ModeShed, c.Shed.Fraction
		next.Reason = "shedding " + percent(c.Shed.Fraction) + ": " + next.Overload.Why + "; " + counted
	case next.Own == ModeServe:
		next.Mode = ModeServe
	case c.Quorum.Below == config.BelowKeep:
		next.Mode, next.Reason = ModeServe, "below its quorum and goes on with the servers that are up; "+counted
	case c.Quorum.Below == config.BelowAll:
		next.Mode, next.All, next.Reason = ModeServe, true, "below its quorum and served by all servers, up or not; "+counted
	case spare.up > 0:
		next.Mode = ModeBackup
		next.Reason = "backup pool " + c.Sorry.Pool + " serves; " + next.Reason
	default:
		next.Mode = ModeSorry
	}
	if sheds && next.Mode != ModeShed {
		next.Reason += "; " + o.said() + ", once it serves"
	}
}

// finishExchanges lets a service that serves after a time of the page linger:
// exchanges that are in flight are finished.
func (s State) finishExchanges(was Service, next *Service, c config.Service, now time.Time) {
	if next.Mode != ModeServe && next.Mode != ModeBackup {
		return
	}
	from := was.held()
	next.LingerUntil = was.LingerUntil
	switch {
	case from == ModeSorry || from == ModeShed || from == ModeLinger && was.Mode == ModePending:
		if s.shownPage(was, Service{Mode: ModeLinger}, c) != "" && c.Protocol == config.TCP {
			next.LingerUntil = now.Add(c.Sorry.Linger)
		}
	case !was.lingers():
		return
	}
	switch {
	case !now.Before(next.LingerUntil):
		next.LingerUntil = time.Time{}
	case next.Mode == ModeServe:
		next.Mode = ModeLinger
	}
}

// shownPage is the page that clients get, or would get in an outage.
func (s State) shownPage(was, next Service, c config.Service) string {
	o := next.Override
	switch next.held() {
	case ModeSorry:
		if o.Mode == OverrideOn {
			return cmp.Or(o.Page, c.Sorry.Page)
		}
	case ModeShed:
		if o.Mode == OverrideShed {
			return cmp.Or(o.Page, c.Shed.Page)
		}
		return c.Shed.Page
	case ModeLinger: // what is in flight is of the page before
		if _, there := s.Config.Page(was.Page); there {
			return was.Page
		}
	case ModeBackup:
		if _, there := s.Config.Page(was.Page); there && !next.LingerUntil.IsZero() {
			return was.Page
		}
	case ModePending, ModeServe:
	}
	return c.Sorry.Page
}

// held is the mode that the kernel is in.
func (s Service) held() Mode {
	if s.Mode == ModePending {
		return s.Held
	}
	return s.Mode
}

// lingers tells whether exchanges of a page are finished while others serve.
func (s Service) lingers() bool { return !s.LingerUntil.IsZero() }

// apologises tells whether exchanges of the page may be in flight.
func (m Mode) apologises() bool { return m == ModeSorry || m == ModeLinger || m == ModeShed }

// orphans resolves auto: packets of old connections are worth passing while a
// server that may know them still talks.
func orphans(o config.Orphans, t, spare tally) config.Orphans {
	switch o {
	case config.OrphansReset, config.OrphansPass, config.OrphansDrop:
		return o
	case config.OrphansAuto:
	}
	if t.up+t.drain+spare.up+spare.drain > 0 {
		return config.OrphansPass
	}
	return config.OrphansReset
}
