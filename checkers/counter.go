// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"math"
	"time"
)

// Counter holds a probe's status and what it follows from: how the last results
// went. It is a value; Next makes its successor. The zero Counter is that of a
// probe that has not run yet.
type Counter struct {
	Status     Status
	Suppressed bool // flap damping keeps it down
	Passes     int  // passes in a row; zero after a failure
	Fails      int  // failures in a row; zero after a pass
	Flaps      int  // how often it went from up to down

	history uint64        // since it came up: a bit for each run, set where it failed
	penalty float64       // see Damping
	decayed time.Duration // when the penalty was that
	dark    bool          // the last result was unknown
	since   time.Duration // when the first of these was taken
}

// Next takes the result of one more run, taken at a time that may count from
// anywhere but never jumps. Moved tells whether the status went over to up or
// down, which is what users of the probe hear of: falling still counts as up
// and rising as down.
//
//	unknown --first result-------------> up or down
//	up      --fail---> falling --Timing.Fall failures in a row--> down
//	down    --pass---> rising  --Timing.Rise passes in a row----> up
//	falling --pass---> up           rising --fail---> down
//
// A failure that is in Timing.Fatal, or that fills Timing.Window, is enough by
// itself. OutcomeUnknown moves nothing, before Timing.UnknownGrace is over.
func (c Counter) Next(r Result, t *Timing, at time.Duration) (next Counter, moved bool) {
	outcome := c.counts(r.Outcome, t, at)
	switch outcome {
	case OutcomePass, OutcomeDegraded:
		c.Passes, c.Fails, c.history = c.Passes+1, 0, c.history<<1
		c.decay(t.Flap, at)
		next, moved = c.turn(StatusDown, StatusRising, StatusUp, c.Passes >= t.Rise && !c.Suppressed)
		if moved {
			next.history = 0
		}
		return next, moved
	case OutcomeFail:
		c.Passes, c.Fails, c.history = 0, c.Fails+1, c.history<<1|1
		c.decay(t.Flap, at)
		enough := c.Fails >= t.Fall || t.Fatal.Has(r.Class, r.Detail) || t.Window.full(c.history)
		next, moved = c.turn(StatusUp, StatusFalling, StatusDown, enough)
		if moved && c.Status != StatusUnknown {
			next.Flaps++
			next.punish(t.Flap)
		}
		return next, moved
	case OutcomeUnknown:
	}
	return c, false
}

// counts is what an outcome counts as: itself, but for one that has been unknown
// for longer than the timing bears.
func (c *Counter) counts(outcome Outcome, t *Timing, at time.Duration) Outcome {
	if outcome != OutcomeUnknown {
		c.dark = false
		return outcome
	}
	if !c.dark {
		c.dark, c.since = true, at
	}
	if at-c.since < t.UnknownGrace {
		return OutcomeUnknown
	}
	switch t.OnUnknown {
	case UnknownFail:
		return OutcomeFail
	case UnknownPass:
		return OutcomePass
	case UnknownHold:
	}
	return OutcomeUnknown
}

// turn goes from one settled status over the way to the other, once enough
// results speak for it. The first result of all is enough by itself.
func (c Counter) turn(from, way, to Status, enough bool) (Counter, bool) {
	switch {
	case c.Status == StatusUnknown, (c.Status == from || c.Status == way) && enough:
		c.Status = to
		return c, true
	case c.Status == from:
		c.Status = way
	case c.Status != way:
		c.Status = to // settled there already, or back from the way to the other
	}
	return c, false
}

// decay brings the penalty up to date, and what follows from it.
func (c *Counter) decay(d Damping, at time.Duration) {
	if d.HalfLife <= 0 {
		c.penalty, c.Suppressed = 0, false
	} else {
		c.penalty *= math.Exp2(-float64(at-c.decayed) / float64(d.HalfLife))
		c.Suppressed = c.Suppressed && c.penalty >= d.Reuse
	}
	c.decayed = at
}

// punish adds a fall to the penalty, which is up to date.
func (c *Counter) punish(d Damping) {
	if d.HalfLife > 0 {
		const most = 4
		c.penalty = min(c.penalty+d.Penalty, most*d.Suppress)
		c.Suppressed = c.Suppressed || c.penalty > d.Suppress
	}
}

// moving tells whether the next result may decide, so that it is wanted soon.
func (c Counter) moving() bool {
	return c.Status == StatusFalling || c.Status == StatusRising && !c.Suppressed
}

// renewed is the counter of a check that changed: the status stays, and what the
// server did before, but the results in a row were of another check.
func (c Counter) renewed() Counter {
	return Counter{Status: c.Status, Suppressed: c.Suppressed, Flaps: c.Flaps, penalty: c.penalty, decayed: c.decayed}
}
