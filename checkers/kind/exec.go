// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/module"
)

// execute passes when a program exits with zero.
type execute struct{ program }

func newExec(_ Env, o *options) checkers.Checker { return &execute{newProgram(o)} }

// Check implements checkers.Checker.
func (e *execute) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a, out, broken := e.run(ctx, target)
	if broken != nil {
		return *broken
	}
	result := checkers.Result{Outcome: checkers.OutcomePass, Message: firstLine(out)}
	switch {
	case out.Code > 0:
		result.Outcome, result.Class = checkers.OutcomeFail, checkers.ClassModule
	case out.Code < 0: // a program that crashes says nothing of the server
		result.Outcome, result.Class = checkers.OutcomeUnknown, checkers.ClassLocal
		result.Message = "the program has not ended by itself: " + out.How
	default:
		weigh(&result, out)
	}
	return a.told(result)
}

// weightLine is how a program says how much of its weight the server should have.
var weightLine = regexp.MustCompile(`(?m)^\s*weight\s+(\d{1,6})\s*%?\s*$`)

// weigh gives a result the weight that a program prints.
func weigh(result *checkers.Result, out module.Output) {
	found := weightLine.FindSubmatch(out.Stdout)
	if found == nil {
		return
	}
	percent, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return // six digits are a number
	}
	share(result, percent)
}

// share gives a result a percentage; none at all is a drain.
func share(result *checkers.Result, percent int) {
	if percent <= 0 {
		result.Hint = checkers.HintDrain
		return
	}
	result.Percent = min(percent, checkers.MaxPercent)
}
