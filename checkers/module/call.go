// SPDX-License-Identifier: Apache-2.0

package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// MaxMessage is the most bytes that a message of a module has.
const MaxMessage = checkers.MaxMessage

// DefaultParallel and MaxParallel bound how many calls are in a module at a time.
const (
	DefaultParallel = 256
	MaxParallel     = 1024
)

// Unavailable is the error of a call that did not come to an end in the module, by
// no fault of the real server.
type Unavailable struct{ Reason string }

// Error implements error.
func (u *Unavailable) Error() string { return u.Reason }

// request is a check as a caller wants it.
type request struct {
	target  netip.AddrPort
	args    json.RawMessage
	timeout time.Duration
}

// noDeadline is how long a call may take whose caller sets no end.
const noDeadline = time.Minute

func newRequest(ctx context.Context, target netip.AddrPort, args json.RawMessage) request {
	r := request{target: target, args: args, timeout: noDeadline}
	if deadline, ok := ctx.Deadline(); ok {
		r.timeout = max(time.Until(deadline), time.Millisecond)
	}
	return r
}

func (r request) call(id uint64) Call {
	return Call{
		Op: OpCheck, ID: id, DeadlineMS: max(r.timeout.Milliseconds(), 1),
		Address: r.target.Addr().String(), Port: r.target.Port(), Args: r.args,
	}
}

// verify returns an error where a reply is none that the protocol has.
func (r *Reply) verify() error {
	var errs []error
	switch r.State {
	case StatePass, StateDegraded, StateFail, StateUnknown:
	default:
		errs = append(errs, fmt.Errorf("the state %q is none of pass, degraded, fail, unknown", r.State))
	}
	if r.Weight < 0 || r.Weight > checkers.MaxPercent {
		errs = append(errs, fmt.Errorf("the weight %d is none of 0 to %d", r.Weight, checkers.MaxPercent))
	}
	switch r.Hint {
	case "", "drain", "maint":
	default:
		errs = append(errs, fmt.Errorf("the hint %q is neither drain nor maint", r.Hint))
	}
	return errors.Join(errs...)
}

// Result is a reply as a result of a check, without its time.
func (r *Reply) Result() checkers.Result {
	if err := r.verify(); err != nil {
		return checkers.Result{Class: checkers.ClassLocal, Message: "the module's answer is not right: " + oneLine(err.Error())}
	}
	out := checkers.Result{Message: oneLine(r.Message), Percent: r.Weight}
	switch r.State {
	case StatePass:
		out.Outcome = checkers.OutcomePass
	case StateDegraded:
		out.Outcome = checkers.OutcomeDegraded
	case StateFail:
		out.Outcome, out.Class, out.Percent = checkers.OutcomeFail, checkers.ClassModule, 0
	case StateUnknown:
		out.Outcome, out.Class, out.Percent = checkers.OutcomeUnknown, checkers.ClassLocal, 0
	}
	switch r.Hint {
	case "drain":
		out.Hint = checkers.HintDrain
	case "maint":
		out.Hint = checkers.HintMaint
	}
	return out
}

// oneLine makes a line of what a stranger wrote, without control characters.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}
