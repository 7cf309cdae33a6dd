// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// builder makes the domain form of the file form, and reports what no single
// value shows: what is missing, out of range, or does not fit together.
type builder struct {
	*report
	loader
	raw raw
}

// config is of use only if nothing was reported.
func (b builder) config() *Config {
	cfg := &Config{Director: b.director(), Admin: b.admin(), places: b.places, secrets: b.secrets}
	b.timing("health.defaults", "health.defaults", b.raw.Health.Defaults)
	cfg.Checks = b.checks()
	cfg.Guard = b.guard("health.guard", cfg.Checks)
	cfg.Pools = b.pools(cfg.Checks)
	cfg.Pages = b.pages()
	cfg.Services = b.services(cfg)
	b.alike(cfg)
	b.dataplane(cfg)
	b.ownAddresses(cfg)
	b.room(cfg)
	for i := range cfg.Pools {
		cfg.Pools[i].split()
	}
	refuse(b.report, cfg, cfg.Director.Forwarding)
	return cfg
}

// longestSocket is what sun_path of unix(7) holds, less a zero, in bytes.
const longestSocket = 107

func (b builder) admin() Admin {
	socket := b.raw.Admin.Socket
	b.absolute("admin.socket", socket)
	if len(socket) > longestSocket {
		b.add("admin.socket", "has %d bytes, a socket's path has at most %d", len(socket), longestSocket)
	}
	return Admin{Socket: socket}
}

// name reports a name that cannot stand in messages and commands.
func (b builder) name(path, name string) {
	const longest = 63
	switch {
	case name == "":
		b.missing(path, "give it a name")
	case len(name) > longest:
		b.add(path, "has %d bytes, a name has at most %d", len(name), longest)
	case strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }):
		b.add(path, "%q is not a name: letters, digits, and . _ : -", name)
	}
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:-", r)
}

// names reports names in a list of objects that are no names or are not unique.
// It needs the list's path.
func (b builder) names(list string, names []string) {
	seen := map[string]string{}
	for i, name := range names {
		path := at(list, i, "name")
		b.name(path, name)
		if first, ok := seen[name]; ok && name != "" {
			b.add(path, "%q is given twice: first at %v", name, b.places.of(first))
			continue
		}
		seen[name] = path
	}
}

// references reports items of a list of names that name nothing, or the same
// thing again.
func (b builder) references(list, noun string, names, known []string) {
	for i, name := range names {
		path := at(list, i)
		if slices.Index(names, name) < i {
			b.add(path, "%q is named twice", name)
			continue
		}
		b.reference(path, noun, name, known)
	}
}

func (b builder) reference(path, noun, name string, known []string) bool {
	if slices.Contains(known, name) && name != "" {
		return true
	}
	b.add(path, "there is no %s %q%s", noun, name, DidYouMean(name, known))
	return false
}

func (b builder) enum(path, value, noun string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		b.add(path, "%q is not %s%s", value, noun, orOneOf(value, allowed))
	}
}

func (b builder) between(path string, d, low, high time.Duration) bool {
	if d < low || d > high {
		b.add(path, "%v is out of range: %v to %v", short(d), short(low), short(high))
	}
	return b.ok(path)
}

func (b builder) absolute(path, name string) {
	if !filepath.IsAbs(name) {
		b.add(path, "%q is not an absolute path", name)
	}
}

// short writes a duration as an operator does: 24h, not 24h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
