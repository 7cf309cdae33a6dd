// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a slow start. One that is shorter has no steps: see state.
const (
	shortestSlowStart = 2 * time.Second
	longestSlowStart  = 24 * time.Hour
)

// upWhen reads when a server of the pool is up, where the pool says it so.
func (b builder) upWhen(path string, r rawPool, p *Pool, known []string) {
	where := path + ".up_when"
	switch {
	case !b.given(where) || !b.ok(where):
		return
	case b.given(path + ".checks"):
		b.add(where, "stands beside checks: leave one of the two out, checks: [a, b] is up_when: all(a, b)")
		return
	}
	e, err := ParseExpr(r.UpWhen)
	if err != nil {
		b.add(where, "%q: %v", r.UpWhen, err)
		return
	}
	p.UpWhen, p.Checks = e, e.Checks()
	for _, name := range p.Checks {
		if !slices.Contains(known, name) {
			b.add(where, "there is no check %q%s", name, DidYouMean(name, known))
		}
	}
}

// slowStart reads that of a pool or a server; 0s is none.
func (b builder) slowStart(path string, d time.Duration) time.Duration {
	if d != 0 {
		b.between(path+".slow_start", d, shortestSlowStart, longestSlowStart)
	}
	return d
}

// part reads a part of the whole: above 0% and at most 100%.
func (b builder) part(path, text string) float64 {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !percent || !(n > 0 && n <= 100) {
		b.add(path, `%q is no part of the whole: above 0%% and at most 100%%, as in "50%%"`, text)
		return 0
	}
	return n / 100
}
