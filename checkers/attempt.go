// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// attempt is one run under way; it makes the run's result.
type attempt struct {
	what  string // what is tried, as messages begin: "connect 10.0.0.11:80"
	begin time.Time
	limit time.Duration // until the deadline; zero where there is none
}

func newAttempt(ctx context.Context, what string) attempt {
	a := attempt{what: what, begin: time.Now()}
	if deadline, ok := ctx.Deadline(); ok {
		a.limit = deadline.Sub(a.begin).Round(10 * time.Millisecond)
	}
	return a
}

func (a attempt) end(outcome Outcome, class Class, format string, args ...any) Result {
	return Result{
		Outcome: outcome,
		Class:   class,
		RTT:     time.Since(a.begin),
		Message: clip(a.what+": "+fmt.Sprintf(format, args...), MaxMessage),
	}
}

func (a attempt) pass(format string, args ...any) Result {
	return a.end(OutcomePass, ClassNone, format, args...)
}

func (a attempt) fail(class Class, format string, args ...any) Result {
	return a.end(OutcomeFail, class, format, args...)
}

// unconnected is the result of a run that could not connect.
func (a attempt) unconnected(ctx context.Context, err error) Result {
	return a.broken(ctx, err, ClassUnreachable, "no connection")
}

// broken is the result of a run that an error ended. Where the error is none
// that every connection can meet, it belongs to the class other. For a
// timeout, missing says what was waited for in vain.
func (a attempt) broken(ctx context.Context, err error, other Class, missing string) Result {
	class := classify(err)
	if cause := ctx.Err(); cause != nil && class != ClassLocal {
		err, class = cause, classify(cause) // the error is how the end of ctx shows on the connection
	}
	switch class {
	case ClassLocal:
		return a.local(err)
	case ClassTimeout, ClassStalled:
		if other != ClassUnreachable {
			class = ClassStalled // there was a connection
		}
		if a.limit > 0 {
			return a.fail(class, "%s within %v", missing, a.limit)
		}
		return a.fail(class, "%s in time", missing)
	case ClassRefused, ClassUnreachable:
		return a.fail(class, "%s", reason(err))
	case ClassNone, ClassTLS, ClassProtocol, ClassStatus, ClassContent:
	}
	return a.fail(other, "%s", reason(err))
}

// local is the result of a run that the director itself could not make.
func (a attempt) local(err error) Result {
	if errors.Is(err, context.Canceled) {
		return a.end(OutcomeUnknown, ClassLocal, "called off")
	}
	if help := remedy(err); help != "" {
		return a.end(OutcomeUnknown, ClassLocal, "not run: %s: %s", reason(err), help)
	}
	return a.end(OutcomeUnknown, ClassLocal, "not run: %s", reason(err))
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
