// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"math/bits"
	"time"
)

// Timing says how often a check runs and how many results decide. It is
// comparable.
type Timing struct {
	Interval     time.Duration // between runs while the state is settled
	FastInterval time.Duration // between runs while rising or falling
	DownInterval time.Duration // between runs while down; zero: Interval
	Timeout      time.Duration // of one run
	Rise         int           // passes in a row that raise a server
	Fall         int           // failures in a row that lower it

	Fatal  Faults  // failures that lower it at once, whatever Fall
	Window Window  // failures that lower it without being in a row
	Flap   Damping // what keeps a server down that comes and goes

	// OnUnknown is what becomes of a probe that has had no result but
	// OutcomeUnknown for UnknownGrace: those that follow count as that.
	OnUnknown    OnUnknown
	UnknownGrace time.Duration
}

// jitterShare is the part of the interval by which a run may start late on
// purpose: a twentieth, that is 5 %.
const jitterShare = 20

// sane makes a timing that the scheduler can work with out of any: what is
// missing is the interval, and an interval that is missing is a second.
func (t Timing) sane() Timing {
	if t.Interval <= 0 {
		t.Interval = time.Second
	}
	if t.FastInterval <= 0 {
		t.FastInterval = t.Interval
	}
	if t.DownInterval <= 0 {
		t.DownInterval = t.Interval
	}
	if t.Timeout <= 0 {
		t.Timeout = t.Interval
	}
	return t
}

// Decisive is how many failures in a row lower a server at the latest.
func (t Timing) Decisive() int {
	if t.Window.Failures > 0 {
		return min(t.Fall, t.Window.Failures)
	}
	return t.Fall
}

// Window lowers a server when that many of its last Runs have failed, counted
// from when it came up. The zero value never does.
type Window struct {
	Runs     int // 1 to MaxWindow
	Failures int // 1 to Runs
}

// MaxWindow is the longest window, in runs.
const MaxWindow = 64

// full tells whether the failures of a history, the latest in the lowest bit, are
// as many as lower a server.
func (w Window) full(history uint64) bool {
	seen := history << (MaxWindow - min(w.Runs, MaxWindow)) // the others fall off
	return w.Failures > 0 && bits.OnesCount64(seen) >= w.Failures
}

// Damping keeps a server down that comes and goes, as RFC 2439 does with routes.
// Each fall adds Penalty to a sum that halves every HalfLife. A sum of more than
// Suppress keeps the server down, however well it does, until the sum is below
// Reuse. It never exceeds four times Suppress, which bounds how long that is. The
// zero value damps nothing.
type Damping struct {
	Penalty, Suppress, Reuse float64
	HalfLife                 time.Duration
}

// OnUnknown says what a lasting OutcomeUnknown counts as.
type OnUnknown uint8

// The choices: UnknownHold leaves the probe where it is; for the others it is as
// if the runs had failed, or passed.
const (
	UnknownHold OnUnknown = iota
	UnknownFail
	UnknownPass
)
