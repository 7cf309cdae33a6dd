// SPDX-License-Identifier: Apache-2.0

package config

// notePages tells of pages that are long, and of those that no other director has.
func (c *Config) notePages(r *report) {
	for i, p := range c.Pages {
		path := at("pages", i)
		if n := p.Image.Longest(); n > LongPage {
			what := ""
			if n > len(p.Image.Response) {
				what = " in a variant"
			}
			r.add(at(path, "body"), "page %q has %d bytes%s: above %d it takes long where packets are lost, and some clients give up", p.Name, n, what, LongPage)
		}
		if p.timed && c.Director.CookieSecret != (Secret{}) {
			r.add(path, "page %q has {{%s}}, so that each director has one of its own: none can go on with what another began", p.Name, varTime)
		}
	}
}
