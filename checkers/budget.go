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
// the target, and a slot where it is Limited, which those before it take for as
// long as their timeouts.
func Budgets(probes []Probe) map[Key]time.Duration {
	of := func(p *Probe) member { return member{p.Key.Target, SlotsOf(p.Checker), &p.Timing} }
	crowd := newCrowd(len(probes), func(i int) member { return of(&probes[i]) })
	budgets := make(map[Key]time.Duration, len(probes))
	for _, p := range probes {
		budgets[p.Key] = crowd.budget(of(&p))
	}
	return budgets
}

// member is a probe as its budget sees it.
type member struct {
	target netip.AddrPort
	slots  Slots
	timing *Timing
}

// crowd is all probes, by what they wait for.
type crowd struct {
	places map[spot]load
	groups map[string]load
}

// spot is a target as the runs of one group see it.
type spot struct {
	target netip.AddrPort
	group  string
}

// load is what the probes that wait for the same take when all of them stall.
type load struct {
	probes       int
	sum, longest time.Duration // of the timeouts
	most         int           // in flight at once
}

// newCrowd makes the crowd of n probes.
func newCrowd(n int, at func(i int) member) crowd {
	c := crowd{make(map[spot]load), make(map[string]load)}
	for i := range n {
		m := at(i)
		s := spot{m.target, m.slots.Group}
		c.places[s] = c.places[s].with(m.timing.Timeout, PerTarget)
		if g := m.slots.Group; g != "" {
			c.groups[g] = c.groups[g].with(m.timing.Timeout, max(m.slots.Most, 1))
		}
	}
	return c
}

func (l load) with(timeout time.Duration, most int) load {
	if l.probes > 0 {
		most = min(most, l.most)
	}
	return load{l.probes + 1, l.sum + timeout, max(l.longest, timeout), most}
}

// budget is a probe's where each run waits as long as it has to at most: for its
// place, which those before it keep while they wait for a slot, and for its own
// slot.
func (c crowd) budget(m member) time.Duration {
	g := c.groups[m.slots.Group]
	slot := g.wait(0)
	l := c.places[spot{m.target, m.slots.Group}]
	l.longest += slot
	l.sum += time.Duration(l.probes) * slot
	return m.timing.budget(l.wait(m.timing.Timeout+slot) + slot)
}

// wait is how long a run waits for its turn at most. Whoever is before it is
// there once, in flight or in the line, and all places are taken as long as it
// waits: so it waits for no more than its share of all others' timeouts, nor
// for more rounds of the longest than the others fill.
func (l load) wait(own time.Duration) time.Duration {
	if l.probes <= l.most {
		return 0
	}
	rounds := time.Duration((l.probes - 1) / l.most)
	return min(rounds*l.longest, (l.sum-own)/time.Duration(l.most))
}
