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

// guard reads when switching is frozen.
func (b builder) guard(path string, checks []Check) Guard {
	r := b.raw.Health.Guard
	if !b.given(path) {
		return Guard{}
	}
	g := Guard{Fraction: b.part(path+".fraction", r.Fraction), Within: r.Within, Max: r.Max}
	if b.between(path+".within", g.Within, time.Second, time.Hour) && b.between(path+".max", g.Max, time.Second, longestTime) && g.Max <= g.Within {
		b.add(path+".max", "%v is not longer than within, %v", short(g.Max), short(g.Within))
	}
	if len(r.Canary) == 0 && b.ok(path+".canary") {
		b.missing(path+".canary", "name a check and the address of what all servers are reached through, as in [{check: gateway, target: 10.0.0.1}]")
	}
	for i, c := range r.Canary {
		g.Canaries = append(g.Canaries, b.canary(at(path, "canary", i), c, checks))
	}
	return g
}

func (b builder) canary(path string, r rawCanary, checks []Check) Canary {
	c := Canary{Check: r.Check, Target: b.address(path+".target", r.Target)}
	i := slices.IndexFunc(checks, func(k Check) bool { return k.Name == r.Check })
	switch {
	case r.Check == "":
		b.missing(path+".check", "name a check, of type icmp or tcp")
	case i < 0:
		var known []string
		for _, k := range checks {
			known = append(known, k.Name)
		}
		b.reference(path+".check", "check", r.Check, known)
	case checks[i].Via == ViaDataplane:
		b.add(path+".check", "check %q asks by the way of the data, which leads to servers only", r.Check)
	case checks[i].Type != "" && !checks[i].PortOptional && checks[i].Target(Server{}).Port() == 0:
		b.add(path+".check", "check %q has no port to probe: %s has no usual one, give the check a port", r.Check, checks[i].Type)
	}
	return c
}

// alike reports services that share servers and do not agree on what becomes of these
// below the quorum.
func (b builder) alike(cfg *Config) {
	first := map[string]int{}
	for i, s := range cfg.Services {
		j, seen := first[s.Pool]
		if !seen {
			first[s.Pool] = i
			continue
		}
		before := cfg.Services[j]
		if s.Quorum != before.Quorum && (s.Quorum.Below == BelowAll || before.Quorum.Below == BelowAll) {
			b.add(at("services", cfg.origins[i], "quorum"), "differs from that of service %q: services that share pool %q have the same quorum where one sends to all servers below it",
				before.Given(), s.Pool)
		}
	}
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
