// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// finding is what a part of an expression comes to, and what decided that.
type finding struct {
	verdict Verdict
	reason  string
}

// judge asks the checks of a server what the expression of its pool wants to know.
// What the server itself asks for by one of them counts beside that: an agent that
// says drain is not outvoted by a page that loads. Asked tells that it asks for something.
func (s State) judge(when config.Expr, checks []config.Check, c config.Server) (v Verdict, reason string, asked bool) {
	if len(checks) == 0 {
		return VerdictUp, "no checks", false
	}
	probes := make(map[string]Probe, len(checks))
	for _, check := range checks {
		probes[check.Name] = s.Probes[probeKey(check, c)]
	}
	found := evaluate(when, probes)
	for _, check := range checks {
		hint := hinted(check.Name, probes[check.Name])
		asked = asked || hint.verdict.fails()
		if severity(hint.verdict) > severity(found.verdict) {
			found = hint
		}
	}
	return found.verdict, found.reason, asked
}

// evaluate finds what an expression comes to. Verdicts are in one order, and each
// operator takes one of those of its parts: all the worst, any the best, atleast(n)
// the n-th best. A result that is missing stands between those that serve and those
// that fail, so that it decides only where it could.
func evaluate(e config.Expr, probes map[string]Probe) finding {
	switch e.Op {
	case config.OpCheck:
		return probes[e.Check].finding(e.Check)
	case config.OpNot:
		return evaluate(e.Of[0], probes).inverted(e)
	case config.OpAll, config.OpAny, config.OpAtLeast:
	}
	parts := make([]finding, len(e.Of))
	for i, part := range e.Of {
		parts[i] = evaluate(part, probes)
	}
	return choose(e, parts)
}

// choose picks the verdict of the parts that decides. The first of those that are
// equally bad gives the reason.
func choose(e config.Expr, parts []finding) finding {
	ranked := slices.Clone(parts)
	slices.SortStableFunc(ranked, func(a, b finding) int { return cmp.Compare(severity(a.verdict), severity(b.verdict)) })
	verdict := ranked[e.Needs()-1].verdict
	found := parts[slices.IndexFunc(parts, func(f finding) bool { return f.verdict == verdict })]
	switch {
	case found.verdict == VerdictUp && e.Op == config.OpAll && !slices.ContainsFunc(e.Of, composed):
		found.reason = "all checks pass"
	case found.verdict == VerdictUp:
		found.reason = join(ranked[:e.Needs()])
	case e.Op == config.OpAtLeast && !found.verdict.Serves():
		passing := 0
		for _, part := range parts {
			if part.verdict.Serves() {
				passing++
			}
		}
		found.reason = fmt.Sprintf("%d of %d that are needed: %s", passing, e.Least, found.reason)
	case e.Op == config.OpAny && found.verdict.fails() && len(parts) > 1:
		found.reason = "none of " + fmt.Sprint(len(parts)) + ": " + found.reason
	}
	return found
}

func composed(e config.Expr) bool { return e.Op != config.OpCheck }

func join(parts []finding) string {
	reasons := make([]string, len(parts))
	for i, part := range parts {
		reasons[i] = part.reason
	}
	return strings.Join(reasons, ", ")
}

// inverted is what not makes of it. A server whose check must not pass and does has
// answered: its open connections are worth keeping.
func (f finding) inverted(e config.Expr) finding {
	switch f.verdict {
	case VerdictUp, VerdictDegraded:
		f.verdict = VerdictDrain
	case VerdictDrain, VerdictDown:
		f.verdict = VerdictUp
	case VerdictUnknown:
	}
	f.reason = e.String() + ": " + f.reason
	return f
}

// finding is what one check says.
func (p Probe) finding(check string) finding {
	f := finding{p.verdict(), check + ": " + p.Message}
	switch {
	case f.verdict == VerdictUnknown:
		f.reason = check + ": no result yet"
	case f.verdict == VerdictUp:
		f.reason = check + " passes"
	case p.Message == "" && f.verdict == VerdictDegraded:
		f.reason = check + ": degraded"
	}
	return f
}

// hinted is what the server asks for by a check.
func hinted(check string, p Probe) finding {
	f := finding{}
	word := ""
	switch p.Hint {
	case checkers.HintDrain:
		f.verdict, word = VerdictDrain, "drain"
	case checkers.HintMaint:
		f.verdict, word = VerdictDown, "maint"
	case checkers.HintNone:
		return finding{verdict: VerdictUp}
	}
	f.reason = check + " asks for " + word
	if p.Message != "" {
		f.reason += ": " + p.Message
	}
	return f
}

// verdict is what a probe alone says of its server.
func (p Probe) verdict() Verdict {
	switch p.Status {
	case checkers.StatusUp, checkers.StatusFalling:
		if p.Outcome == checkers.OutcomeDegraded {
			return VerdictDegraded
		}
		return VerdictUp
	case checkers.StatusDown, checkers.StatusRising:
		if p.Class.Hard() {
			return VerdictDown
		}
		return VerdictDrain
	case checkers.StatusUnknown:
	}
	return VerdictUnknown
}

// severity orders verdicts: which one wins where all have to be good.
func severity(v Verdict) int {
	switch v {
	case VerdictUp:
		return 0
	case VerdictDegraded:
		return 1
	case VerdictUnknown:
		return 2
	case VerdictDrain:
		return 3
	case VerdictDown:
		return 4
	}
	return 0
}

// Says is what one check alone says of a server.
func (s State) Says(check string, c config.Server) Verdict {
	k, _ := s.Config.Check(check)
	return s.Probes[probeKey(k, c)].verdict()
}
