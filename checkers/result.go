// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"net/netip"
	"time"
)

// Result is how one run of a check ended.
type Result struct {
	Outcome Outcome
	Class   Class         // why it did not pass; ClassNone when it did
	RTT     time.Duration // from the first packet to the verdict
	Message string        // for people, at most MaxMessage bytes
	// Detail is what of its class a failure is, in a word that Timing.Fatal can
	// name: the status that was answered, "503". Empty: there is no more to say.
	Detail string
	// Percent is how much of its weight the server should have, 1 to MaxPercent;
	// zero: the check does not say. One that wants none gives HintDrain.
	Percent int
	Hint    Hint // what the server asks for by itself
}

// MaxPercent is the most of its weight that a check may give a server.
const MaxPercent = 1000

// Hint is what a server, or an agent on it, asks for whatever its health.
type Hint uint8

// The hints. HintDrain: no new connections; HintMaint: none at all.
const (
	HintNone Hint = iota
	HintDrain
	HintMaint
)

// MaxMessage is the most that a Result's message holds, in bytes.
const MaxMessage = 240

// Outcome is the verdict of one run.
type Outcome uint8

// The outcomes of a run. OutcomeUnknown means that the director could not run
// the check (no file descriptor, no local port, a module that crashed): it says
// nothing of the server and moves no counter. OutcomeDegraded is a pass of a
// server that should get less.
const (
	OutcomeUnknown Outcome = iota
	OutcomePass
	OutcomeDegraded
	OutcomeFail
)

// passed tells whether the server is to be used.
func (o Outcome) passed() bool { return o == OutcomePass || o == OutcomeDegraded }

// Class tells why a run did not pass.
type Class uint8

// The classes of failure. ClassRefused, ClassTimeout and ClassUnreachable mean
// that no connection came about; the others mean that the host still takes
// connections, so that those that are open are worth keeping.
const (
	ClassNone        Class = iota
	ClassRefused           // the server's host answered with a reset
	ClassTimeout           // no connection before the deadline
	ClassUnreachable       // no route, or an ICMP error
	ClassStalled           // a connection, but no answer before the deadline
	ClassTLS               // handshake or certificate
	ClassProtocol          // not the protocol that was expected
	ClassStatus            // a status outside the expected ranges
	ClassContent           // the expected text is missing
	ClassModule            // a module or a plugin says so
	ClassLocal             // the director's own fault; goes with OutcomeUnknown
)

// Checker is one kind of check with its options, ready to run any number of
// times in parallel. Check returns when ctx ends at the latest.
type Checker interface {
	Check(ctx context.Context, target netip.AddrPort) Result
}

// Key names a probe. All users of one check on one target share one probe.
type Key struct {
	Check  string
	Target netip.AddrPort
}

// Probe is one check on one target, as the scheduler runs it.
type Probe struct {
	Key     Key
	Checker Checker
	Timing  Timing
	// Fingerprint changes when the check's options or timing do. A probe that
	// is set again with the same key and fingerprint keeps its counters, its
	// phase and its run in flight.
	Fingerprint string
}

// Status is where a probe stands between up and down.
type Status uint8

// The statuses of a probe. Rising and falling are on the way: a falling probe
// still counts as up, a rising one as down. The first result decides at once.
const (
	StatusUnknown Status = iota
	StatusUp
	StatusFalling
	StatusDown
	StatusRising
)

// Transition is a probe's change between unknown, up and down. A probe that
// stays where it is makes one too when what it says there changes: while it is
// down, when its failures turn from soft to hard or back (see Class.Hard); while
// it is up, when its passes turn degraded or back, or with another Percent or
// Hint than the last that was told. Failures on the way down tell nothing.
type Transition struct {
	Key    Key
	Status Status // StatusUp or StatusDown
	// Result is that of the run that decided. Its outcome goes with the status,
	// but where Timing.OnUnknown moved the probe: then it is OutcomeUnknown.
	Result Result
	At     time.Time
}

// Hard tells whether a failure of this class means that the host no longer
// accepts connections. A soft failure leaves open connections worth keeping.
func (c Class) Hard() bool {
	return c == ClassRefused || c == ClassTimeout || c == ClassUnreachable
}
