// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// attempt is one run under way; it makes the run's result.
type attempt struct {
	what  string // what is tried, as messages begin: "connect 10.0.0.11:80"
	begin time.Time
	limit time.Duration // until the deadline; zero where there is none
	trace tracer
}

// Traced makes the steps of a run that ctx is given to known as they are done,
// each with the time since the run began.
func Traced(ctx context.Context, step func(at time.Duration, what string)) context.Context {
	return context.WithValue(ctx, tracerKey{}, tracer{time.Now(), step})
}

type tracerKey struct{}

// tracer is who hears of the steps; the zero value is nobody.
type tracer struct {
	begin time.Time
	step  func(time.Duration, string)
}

func (t tracer) tell(format string, args ...any) {
	if t.step != nil {
		t.step(time.Since(t.begin), checkers.Clip(fmt.Sprintf(format, args...), checkers.MaxMessage))
	}
}

// tell makes a step known that is done outside an attempt: by the dialer.
func tell(ctx context.Context, format string, args ...any) {
	t, _ := ctx.Value(tracerKey{}).(tracer)
	t.tell(format, args...)
}

// step makes a step that is done known: "TLS 1.3, certificate until 2027-01-02".
func (a attempt) step(format string, args ...any) { a.trace.tell(format, args...) }

func newAttempt(ctx context.Context, what string) attempt {
	a := attempt{what: what, begin: time.Now()}
	a.trace, _ = ctx.Value(tracerKey{}).(tracer)
	if deadline, ok := ctx.Deadline(); ok {
		a.limit = deadline.Sub(a.begin).Round(10 * time.Millisecond)
	}
	return a
}

func (a attempt) end(outcome checkers.Outcome, class checkers.Class, format string, args ...any) checkers.Result {
	return checkers.Result{
		Outcome: outcome,
		Class:   class,
		RTT:     time.Since(a.begin),
		Message: checkers.Clip(a.what+": "+fmt.Sprintf(format, args...), checkers.MaxMessage),
	}
}

func (a attempt) pass(format string, args ...any) checkers.Result {
	return a.end(checkers.OutcomePass, checkers.ClassNone, format, args...)
}

// degraded is a pass of a server that is to get less: percent of its weight; zero
// leaves how much to its pool.
func (a attempt) degraded(percent int, format string, args ...any) checkers.Result {
	r := a.end(checkers.OutcomeDegraded, checkers.ClassNone, format, args...)
	r.Percent = percent
	return r
}

func (a attempt) fail(class checkers.Class, format string, args ...any) checkers.Result {
	return a.end(checkers.OutcomeFail, class, format, args...)
}

// unconnected is the result of a run that could not connect.
func (a attempt) unconnected(ctx context.Context, err error) checkers.Result {
	return a.broken(ctx, err, checkers.ClassUnreachable, "no connection")
}

// broken is the result of a run that an error ended. Where the error is none
// that every connection can meet, it belongs to the class other. For a
// timeout, missing says what was waited for in vain.
func (a attempt) broken(ctx context.Context, err error, other checkers.Class, missing string) checkers.Result {
	class := classify(err)
	if cause := ctx.Err(); cause != nil && class != checkers.ClassLocal {
		err, class = cause, classify(cause) // the error is how the end of ctx shows on the connection
	}
	switch class {
	case checkers.ClassLocal:
		return a.local(err)
	case checkers.ClassTimeout, checkers.ClassStalled:
		if other != checkers.ClassUnreachable {
			class = checkers.ClassStalled // there was a connection
		}
		if a.limit > 0 {
			return a.fail(class, "%s within %v", missing, a.limit)
		}
		return a.fail(class, "%s in time", missing)
	case checkers.ClassRefused, checkers.ClassUnreachable:
		return a.fail(class, "%s", reason(err))
	case checkers.ClassNone, checkers.ClassTLS, checkers.ClassProtocol, checkers.ClassStatus, checkers.ClassContent, checkers.ClassModule:
	}
	return a.fail(other, "%s", reason(err))
}

// local is the result of a run that the director itself could not make.
func (a attempt) local(err error) checkers.Result {
	if errors.Is(err, context.Canceled) {
		return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "called off")
	}
	if help := remedy(err); help != "" {
		return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "not run: %s: %s", reason(err), help)
	}
	return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "not run: %s", reason(err))
}

// reason is the kernel's word for the error, where it has one: the addresses
// that package net puts around it are in the message already.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// aLongTimeAgo is a deadline that has passed.
func aLongTimeAgo() time.Time { return time.Unix(1, 0) }
