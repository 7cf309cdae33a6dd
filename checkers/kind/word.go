// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// state is what a server, a file or an agent says of a server's state.
type state struct {
	outcome checkers.Outcome // OutcomePass or OutcomeFail
	hint    checkers.Hint
	percent int    // zero: it says none
	said    string // the word that decided: "down", "drain"
	reason  string // after a #
	ignored []string
	strange string // a word that nobody knows
}

// readState reads a line in the grammar of HAProxy's agent-check: words with
// blanks or commas between them, and a reason after a #. Of words that
// contradict each other the last one counts. Up, ready and a percentage are
// passes; down, fail and stopped failures; drain and maint, and 0%, ask for that
// and say nothing of health.
func readState(line string) state {
	line, reason, _ := strings.Cut(line, "#")
	s := state{outcome: checkers.OutcomePass, reason: strings.TrimSpace(reason)}
	for _, word := range strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return strings.ContainsRune(" ,\t\r\n", r) }) {
		switch {
		case word == "up":
			s.outcome, s.said = checkers.OutcomePass, word
		case word == "ready":
			s.hint, s.said = checkers.HintNone, word
		case word == "down", word == "fail", word == "stopped":
			s.outcome, s.said = checkers.OutcomeFail, word
		case word == "drain":
			s.hint, s.said = checkers.HintDrain, word
		case word == "maint":
			s.hint, s.said = checkers.HintMaint, word
		case strings.HasPrefix(word, "maxconn:"):
			s.ignored = append(s.ignored, word)
		case strings.HasSuffix(word, "%"):
			s.share(word)
		default:
			s.strange = word
		}
	}
	return s
}

// share takes a percentage of the weight.
func (s *state) share(word string) {
	percent, err := strconv.Atoi(strings.TrimSuffix(word, "%"))
	switch {
	case err != nil || percent < 0 || percent > checkers.MaxPercent:
		s.strange = word
		return
	case percent == 0:
		s.hint = checkers.HintDrain
	default:
		s.percent = percent
	}
	if s.said == "" {
		s.said = word
	}
}

// result is what the state makes of a run.
func (s state) result(a attempt, class checkers.Class) checkers.Result {
	for _, word := range s.ignored {
		a.step("%s is ignored: limits are set in the configuration", word)
	}
	switch {
	case s.strange != "":
		return a.fail(checkers.ClassProtocol, "%q is no word for a state: up, ready, down, fail, stopped, drain, maint and 75%% are", checkers.Clip(s.strange, 40))
	case s.said == "":
		return a.fail(checkers.ClassProtocol, "it says nothing of the state")
	}
	why := s.said
	if s.reason != "" {
		why += ": " + s.reason
	}
	if s.outcome == checkers.OutcomeFail {
		r := a.fail(class, "%s", why)
		r.Hint = s.hint
		return r
	}
	r := a.pass("%s", why)
	r.Percent, r.Hint = s.percent, s.hint
	return r
}
