// SPDX-License-Identifier: Apache-2.0

package config

// LongPage is the length in bytes, header included, above which a page may fail
// to reach clients over lossy links in good time: docs/sorry.md has the figures.
const LongPage = 20_000

// Notes tells what is no mistake but may not be meant: things that nothing uses,
// and pages that are long.
func (c *Config) Notes() []Problem {
	pools, checks, pages := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range c.Services {
		pools[s.Pool], pages[s.Sorry.Page] = true, true
	}
	for _, p := range c.Pools {
		for _, name := range p.Checks {
			checks[name] = true
		}
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
		path := at("pages", i)
		unused(path, "page", "service", p.Name, pages)
		if n := len(p.Image.Response); n > LongPage {
			r.add(at(path, "body"), "page %q has %d bytes: above %d it takes long where packets are lost, and some clients give up", p.Name, n, LongPage)
		}
	}
	_ = r.err() // sorts them
	return r.problems
}
