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
	cfg.Pools = b.pools(cfg.Checks)
	cfg.Pages = b.pages()
	cfg.Services = b.services(cfg)
	b.ownAddresses(cfg)
	b.room(cfg)
	return cfg
}

func (b builder) director() Director {
	d := b.raw.Director
	if !b.given("director.name") {
		name, err := b.hostname()
		if err != nil || name == "" {
			b.missing("director.name", "this machine has no host name to take instead")
		}
		d.Name = name
	} else {
		b.name("director.name", d.Name)
	}
	if len(d.Interfaces) == 0 && b.ok("director.interfaces") {
		b.missing("director.interfaces", "name those that clients' packets arrive on, for example [eth0]")
	}
	for i, name := range d.Interfaces {
		path := at("director", "interfaces", i)
		if problem := badInterface(name); problem != "" {
			b.add(path, "%q %s", name, problem)
		} else if first := slices.Index(d.Interfaces, name); first < i {
			b.add(path, "%q is named twice", name)
		}
	}
	b.enum("director.attach", d.Attach, "a way to attach", string(AttachAuto), string(AttachXDP), string(AttachTC))
	b.enum("director.forwarding", d.Forwarding, "a forwarding engine", string(ForwardingAuto), string(ForwardingIPVS), string(ForwardingEBPF), string(ForwardingNone))
	b.enum("director.addresses", d.Addresses, "an address mode", string(AddressesManage), string(AddressesExternal))
	b.enum("director.on_stop", d.OnStop, "what a stop can do", string(OnStopKeep), string(OnStopWithdraw))
	b.between("director.resync_interval", d.ResyncInterval, time.Second, 24*time.Hour)
	b.absolute("director.pin_path", d.PinPath)
	return Director{
		Name:       d.Name,
		Interfaces: d.Interfaces,
		Attach:     Attach(d.Attach),
		Forwarding: Forwarding(d.Forwarding),
		Connections: Connections{
			Memory: 64 << 20, TCP: 15 * time.Minute, FIN: 2 * time.Minute, UDP: 5 * time.Minute,
		},
		FullNAT:   FullNAT{PortFirst: 1024, PortLast: 32767},
		Addresses: AddressMode(d.Addresses),
		OnStop:    OnStop(d.OnStop),
		Resync:    d.ResyncInterval,
		PinPath:   d.PinPath,
	}
}

func (b builder) admin() Admin {
	// sun_path of unix(7) holds 108 bytes, the last of them zero.
	const longest = 107
	socket := b.raw.Admin.Socket
	b.absolute("admin.socket", socket)
	if len(socket) > longest {
		b.add("admin.socket", "has %d bytes, a socket's path has at most %d", len(socket), longest)
	}
	return Admin{Socket: socket}
}

// badInterface tells what keeps name from naming a network interface; see
// dev_valid_name in the kernel's net/core/dev.c.
func badInterface(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "is not the name of an interface"
	case len(name) > 15:
		return "is longer than the 15 bytes that the name of an interface may have"
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' }):
		return "is not the name of an interface: ASCII without spaces, / and :"
	}
	return ""
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
