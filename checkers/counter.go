// SPDX-License-Identifier: Apache-2.0

package checkers

// Counter holds a probe's status and what it follows from: how the last results
// went. It is a value; Next makes its successor. The zero Counter is that of a
// probe that has not run yet.
type Counter struct {
	Status Status
	Passes int // passes in a row; zero after a failure
	Fails  int // failures in a row; zero after a pass
}

// Next takes the outcome of one more run. Moved tells whether the status went
// over to up or down, which is what users of the probe hear of: falling still
// counts as up and rising as down.
//
//	unknown --first result-------------> up or down
//	up      --fail---> falling --Timing.Fall failures in a row--> down
//	down    --pass---> rising  --Timing.Rise passes in a row----> up
//	falling --pass---> up           rising --fail---> down
//
// OutcomeUnknown moves nothing.
func (c Counter) Next(outcome Outcome, timing Timing) (next Counter, moved bool) {
	switch outcome {
	case OutcomeUnknown:
		return c, false
	case OutcomePass, OutcomeDegraded:
		c.Passes, c.Fails = c.Passes+1, 0
		return c.turn(StatusDown, StatusRising, StatusUp, c.Passes >= timing.Rise)
	case OutcomeFail:
		c.Passes, c.Fails = 0, c.Fails+1
		return c.turn(StatusUp, StatusFalling, StatusDown, c.Fails >= timing.Fall)
	}
	return c, false
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

// moving tells whether the next result may decide, so that it is wanted soon.
func (c Counter) moving() bool {
	return c.Status == StatusRising || c.Status == StatusFalling
}
