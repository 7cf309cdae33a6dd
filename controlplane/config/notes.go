// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// LongPage is the length in bytes, header included, above which a page may fail
// to reach clients over lossy links in good time: docs/sorry.md has the figures.
const LongPage = 20_000

// Notes tells what is no mistake but may not be meant: things that nothing uses,
// pages that are long, and what would be refused on another kernel.
func (c *Config) Notes() []Problem {
	pools, checks, pages := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range c.Services {
		pools[s.Pool], pools[s.Sorry.Pool], pages[s.Sorry.Page], pages[s.Shed.Page] = true, true, true, true
	}
	for _, p := range c.Pools {
		for _, name := range p.Checks {
			checks[name] = true
		}
	}
	for _, canary := range c.Guard.Canaries {
		checks[canary.Check] = true
	}
	r := newReport()
	r.places, r.secrets = c.places, c.secrets
	unused := func(path, noun, by, name string, used map[string]bool) {
		if r.given(path) && !used[name] {
			r.add(path, "%s %q is not used by any %s", noun, name, by)
		}
	}
	for i, k := range c.Checks {
		unused(at("checks", i), "check", "pool", k.Name, checks)
	}
	for i, p := range c.Pools {
		unused(at("pools", i), "pool", "service", p.Name, pools)
	}
	for i, p := range c.Pages {
		if path := at("pages", i); r.given(path) && !pages[p.Name] {
			r.add(path, "page %q is not used by any service: it is for maitred sorry on --page %s", p.Name, p.Name)
		}
	}
	c.notePages(r)
	c.noteReserve(r)
	c.noteEngine(r)
	c.noteShed(r)
	c.noteEqual(r)
	_ = r.err() // sorts them
	return r.problems
}

// noteEqual tells of weights that grow where every service of the pool serves each
// server in turn.
func (c *Config) noteEqual(r *report) {
	equal, weighed := map[string]bool{}, map[string]bool{}
	for _, s := range c.Services {
		for _, part := range s.ByPool() {
			if s.Scheduler == "rr" {
				equal[part.Pool] = true
			} else {
				weighed[part.Pool] = true
			}
		}
	}
	for i, p := range c.Pools {
		if !equal[p.Name] || weighed[p.Name] {
			continue
		}
		paths := []string{at("pools", i, "slow_start"), at("pools", i, "degraded")}
		for j := range len(p.Servers) + len(p.Hosts) {
			paths = append(paths, at("pools", i, "servers", j, "slow_start"))
		}
		for _, path := range paths {
			if r.given(path) {
				r.add(path, "has no effect with scheduler: rr, which heeds no weights")
			}
		}
	}
}

// noteEngine tells what the engine makes of the configuration, or could.
func (c *Config) noteEngine(r *report) {
	switch c.Director.Forwarding {
	case ForwardingAuto:
		for _, p := range c.refusals(ForwardingIPVS) {
			r.problems = append(r.problems, p.on("a kernel with IPVS"))
		}
		for _, p := range c.refusals(ForwardingEBPF) {
			r.problems = append(r.problems, p.on("a kernel without IPVS"))
		}
	case ForwardingIPVS, ForwardingNone:
		for _, path := range c.ofEBPF() {
			if r.given(path) {
				r.add(path, "has no effect with forwarding: %s, it is for the eBPF engine", c.Director.Forwarding)
			}
		}
	case ForwardingEBPF:
	}
	if r.given("director.fullnat") && !slices.ContainsFunc(c.Services, func(s Service) bool { return s.Method == FULLNAT }) {
		r.add("director.fullnat", "no service has the method fullnat")
	}
}

// ofEBPF are the keys that only the eBPF engine heeds.
func (c *Config) ofEBPF() []string {
	paths := []string{"director.connections", "director.fullnat"}
	for i, p := range c.Pools {
		for j := range len(p.Servers) + len(p.Hosts) {
			paths = append(paths, at("pools", i, "servers", j, "mtu"))
		}
	}
	return paths
}

// on makes a note of a problem that is one on some kernels.
func (p Problem) on(kernel string) Problem {
	p.Message = "on " + kernel + " this is refused: " + p.Message
	return p
}
