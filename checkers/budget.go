// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"net/netip"
	"time"
)

// Budget is the longest time from a server's death to the verdict that it is
// down, for a probe that shares its target with PerTarget - 1 others at most:
// one interval, with its jitter, until the check starts, then Fall runs that
// each take their timeout or the fast interval, whichever is longer; fewer where
// Window takes fewer. What is in Fatal is found out earlier: this holds for every
// kind of death. Budgets has it for any number of probes.
func (t Timing) Budget() time.Duration { return t.budget(0) }

// budget is the same where each run may wait that long for its place.
func (t Timing) budget(wait time.Duration) time.Duration {
	step := max(t.FastInterval, t.Timeout) + wait
	return t.Interval + t.Interval/jitterShare + wait + time.Duration(t.Decisive()-1)*step + t.Timeout
}

// Budgets is the detection budget of each probe where the scheduler runs all of
// these: as Timing.Budget, and before each run a place among the PerTarget on
// the target, which those before it take for as long as their timeouts.
func Budgets(probes []Probe) map[Key]time.Duration {
	lines := newLines(len(probes), func(i int) (Key, Timing) { return probes[i].Key, probes[i].Timing })
	budgets := make(map[Key]time.Duration, len(probes))
	for _, p := range probes {
		budgets[p.Key] = lines.budget(p.Key, p.Timing)
	}
	return budgets
}

// lines holds, for each target, what its probes take when all of them stall.
type lines map[netip.AddrPort]line

type line struct {
	probes       int
	sum, longest time.Duration // of the timeouts
}

// newLines makes the lines of n probes.
func newLines(n int, at func(i int) (Key, Timing)) lines {
	all := make(lines)
	for i := range n {
		key, timing := at(i)
		l := all[key.Target]
		l.probes++
		l.sum += timing.Timeout
		l.longest = max(l.longest, timing.Timeout)
		all[key.Target] = l
	}
	return all
}

func (l lines) budget(key Key, t Timing) time.Duration {
	return t.budget(l[key.Target].wait(t.Timeout))
}

// wait is how long a run waits for its place at most. Whoever is before it is
// there once, in flight or in the line, and all places are taken as long as it
// waits: so it waits for no more than its share of all others' timeouts, nor
// for more rounds of the longest than the others fill.
func (l line) wait(own time.Duration) time.Duration {
	rounds := time.Duration((l.probes - 1) / PerTarget)
	return min(rounds*l.longest, (l.sum-own)/PerTarget)
}
