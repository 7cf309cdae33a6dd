// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers/kind"
)

func (b builder) checks() []Check {
	var checks []Check
	var names []string
	for i, r := range b.raw.Checks {
		checks = append(checks, b.check(at("checks", i), r))
		names = append(names, r.Name)
	}
	b.names("checks", names)
	return checks
}

func (b builder) check(path string, r rawCheck) Check {
	c := Check{Name: r.Name, Via: b.way(path, r), Service: r.Service, Timing: b.inherit(path, r.Timing)}
	c.Origin = b.origin(path, c.Via, r.Origin)
	if b.given(path+".service") && c.Via != ViaDataplane && b.ok(path+".via") {
		b.add(path+".service", "is for via: dataplane")
	}
	types := slices.Sorted(maps.Keys(r.Types))
	switch len(types) {
	case 0:
		b.missing(path+".type", "give it one of "+strings.Join(b.types, ", ")+", for example tcp: {}")
		return c
	case 1:
	default:
		b.add(at(path, types[1]), "is a second type beside %s: a check has one", types[0])
		return c
	}
	c.Type = types[0]
	path = at(path, c.Type)
	row, ok := b.lookup(c.Type)
	options, isMap := r.Types[c.Type].(map[string]any)
	if !ok || !isMap {
		b.add(path, "is not a type of check%s", orOneOf(c.Type, b.types))
		return c
	}
	options = maps.Clone(options)
	b.takePort(path, &c, row, options)
	c.Fingerprint = fingerprint(c, options, b.files(path, options))
	checker, err := row.New(options)
	if err != nil {
		b.optionErrors(path, err)
		return c
	}
	c.Checker = kind.From(kind.Named(checker, c.Name), c.Origin)
	return c
}

// takePort moves the port from the options to the check.
func (b builder) takePort(path string, c *Check, row kind.Kind, options map[string]any) {
	c.DefaultPort, c.Portless = row.DefaultPort, row.Portless
	c.PortOptional = !row.NeedsPort(options)
	switch {
	case c.Portless && c.Via == ViaDataplane:
		b.add(path, "is not for via: dataplane, which asks the first port of a service: make it via: direct")
	case row.Foreign && c.Via == ViaDataplane:
		b.add(path, "is not for via: dataplane, since its connections are not ours to mark: make it via: direct")
	}
	switch {
	case c.Origin == (kind.Origin{}):
	case c.Portless:
		b.add(path, "makes no connection, and heeds neither source, source_ports, mark, device, vrf, netns nor proxy_protocol: leave them out")
	case row.Foreign:
		b.add(path, "connects by itself, and heeds neither source, source_ports, mark, device, vrf, netns nor proxy_protocol: leave them out")
	}
	value, given := options["port"]
	if !given {
		return
	}
	delete(options, "port")
	var ok bool
	switch c.Port, ok = portOption(value); {
	case !ok:
		b.add(path+".port", "%v is not a port: 1 to 65535", value)
	case c.Portless:
		b.add(path+".port", "is not for %s, which asks no port of a server: leave it out", c.Type)
	case c.Via == ViaDataplane:
		b.add(path+".port", "is not for a check via the data path, which asks the first port of its service: leave it out")
	}
}

// files makes the names of files in the options relative to the file that names
// them, and returns their contents. Such options end in _file.
func (b builder) files(path string, options map[string]any) map[string][]byte {
	contents := map[string][]byte{}
	for key, value := range options {
		name, ok := value.(string)
		if !ok || name == "" || !strings.HasSuffix(key, "_file") {
			continue
		}
		name = beside(b.places.of(at(path, key)).File, name)
		content, err := b.read(name, maxFile)
		if err != nil {
			b.add(at(path, key), "%q %s", name, unreadable(err))
			delete(options, key)
			continue
		}
		options[key], contents[key] = name, content
	}
	return contents
}

// fingerprint identifies all that a check does, a new certificate under an old
// name included. The text form of maps has their keys sorted.
func fingerprint(c Check, options map[string]any, files map[string][]byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %s %q %q %#v %#v %q", c.Type, c.Port, c.Via, c.Service, fmt.Sprint(c.Origin), options, c.Timing, files))
	return fmt.Sprintf("%x", sum[:16])
}

// optionErrors reports what a check's type says of its options.
func (b builder) optionErrors(path string, err error) {
	for _, err := range each(err) {
		option, ok := errors.AsType[*kind.OptionError](err)
		if !ok {
			b.add(path, "%v", err)
			continue
		}
		where := path
		for _, step := range option.Path {
			if i, err := strconv.Atoi(step); err == nil {
				where += fmt.Sprintf("[%d]", i)
			} else {
				where = at(where, step)
			}
		}
		problem := option.Problem
		if hint := DidYouMean(option.Path[len(option.Path)-1], option.Options); hint != "" {
			problem = "is not an option here" + hint
		}
		b.add(where, "%s", problem)
	}
}
