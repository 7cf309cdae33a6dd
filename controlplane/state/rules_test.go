// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// rules say which mode follows from the one before, in a history of the service
// shop that began with what the kernel held.
type rules struct {
	cfg      *config.Config
	held     state.Mode
	own      state.Mode // what its servers alone make of it
	mode     state.Mode // that the kernel is in
	pending  bool       // for want of results
	linger   time.Time  // the end of it
	override state.Override
	load     int // connections that were measured last
	sheds    bool
	turned   time.Time // sheds did; zero: never
	measured bool
}

// randomEvent is something that happens: a probe's result, most of the time.
func (r *rules) randomEvent(rnd *rand.Rand, probes []checkers.Probe, latest map[checkers.Key]checkers.Transition, now time.Time) state.Event {
	switch n := rnd.IntN(14); {
	case n < 7 && len(probes) > 0:
		tr := randomTransition(rnd, probes[rnd.IntN(len(probes))].Key, now)
		latest[tr.Key] = tr
		return state.Probed{Transition: tr}
	case n < 9:
		all := []state.Override{
			{}, {}, {Mode: state.OverrideOn}, {Mode: state.OverrideOn, Page: "works"},
			{Mode: state.OverrideOff}, {Mode: state.OverrideShed, Shed: 0.5},
		}
		r.override = all[rnd.IntN(len(all))]
		return state.Overridden{Service: "shop", Override: r.override}
	case n < 11:
		r.load, r.measured = 80+rnd.IntN(30), true
		return state.Measured{Loads: map[string]state.Load{"shop": {Connections: r.load}}}
	}
	if rnd.IntN(3) == 0 {
		return state.Tick{}
	}
	modes := []state.ServerMode{state.ServerAuto, state.ServerAuto, state.ServerUp, state.ServerDrain, state.ServerMaint}
	return state.ServerOverridden{
		Server:   state.ServerID{Pool: "app", Name: fmt.Sprintf("s%d", rnd.IntN(len(r.cfg.Pools[0].Servers)))},
		Override: state.ServerOverride{Mode: modes[rnd.IntN(len(modes))], Since: now},
	}
}

// follow says which mode the state must be in after an event.
func (r *rules) follow(was, s state.State, now time.Time) state.Mode {
	r.own = r.ownRule(s, !now.Before(was.Services["shop"].DecideBy))
	r.shedRule(now)
	spare := spareVerdict(s) == state.VerdictUp
	var to state.Mode
	switch {
	case r.override.Mode == state.OverrideOn:
		to = state.ModeSorry
	case r.override.Mode == state.OverrideOff:
		to = state.ModeServe
	case r.own == state.ModePending:
		r.held, r.pending = r.mode, true
		return state.ModePending
	case r.own == state.ModeSorry && spare:
		to = state.ModeBackup
	case r.own == state.ModeSorry:
		to = state.ModeSorry
	case r.override.Mode == state.OverrideShed || r.sheds:
		to = state.ModeShed
	default:
		to = state.ModeServe
	}
	return r.lingerRule(to, now)
}

// spareVerdict is of the one server in reserve; unknown, too, where there is none.
func spareVerdict(s state.State) state.Verdict {
	return s.Servers[state.ServerID{Pool: "spare", Name: "z"}].Verdict
}

// lingerRule finishes what is in flight where the kernel has shown a page.
func (r *rules) lingerRule(to state.Mode, now time.Time) state.Mode {
	shows := func(m state.Mode) bool { return m == state.ModeSorry || m == state.ModeShed }
	if r.mode == state.ModeLinger && r.pending || shows(r.mode) {
		r.linger = now.Add(5 * time.Second)
	}
	r.pending = false
	if shows(to) {
		r.linger = time.Time{}
	}
	r.mode = to
	if to == state.ModeServe && now.Before(r.linger) {
		r.mode = state.ModeLinger
	}
	return r.mode
}

// ownRule is that of the quorum.
func (r *rules) ownRule(s state.State, timeUp bool) state.Mode {
	q, live := r.cfg.Services[0].Quorum, amount(r.cfg, s, state.VerdictUp)
	keep, first, back := max(asked(r.cfg, q.Min-q.Hysteresis), 1), max(asked(r.cfg, q.Min), 1), toReturn(r.cfg)
	before := r.own
	if before == state.ModePending {
		before = r.held
	}
	need := map[state.Mode]int{
		state.ModePending: first, state.ModeServe: keep, state.ModeLinger: keep, state.ModeShed: keep,
		state.ModeSorry: back, state.ModeBackup: back,
	}[before]
	switch {
	case live >= need:
		return state.ModeServe
	case r.own == state.ModePending && !timeUp && live+amount(r.cfg, s, state.VerdictUnknown) >= need:
		return state.ModePending
	case r.own == state.ModePending && !timeUp && spareVerdict(s) == state.VerdictUnknown && r.cfg.Services[0].Sorry.Pool != "":
		return state.ModePending
	}
	return state.ModeSorry
}

// shedRule has 100 for the limit and 90 for relief, five seconds apart.
func (r *rules) shedRule(now time.Time) {
	limit := r.cfg.Services[0].Shed.Connections
	if limit == 0 || !r.measured {
		return
	}
	wants := r.load >= limit || r.sheds && r.load*10 >= limit*9
	if wants != r.sheds && (r.turned.IsZero() || now.Sub(r.turned) >= 5*time.Second) {
		r.sheds, r.turned = wants, now
	}
}
