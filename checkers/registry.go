// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"slices"
	"strconv"
	"strings"
)

// Type is a row of the registry: one kind of check and how to make it.
type Type struct {
	Name string
	// DefaultPort is the protocol's well-known port; zero means that the check
	// or the real server must name one.
	DefaultPort uint16
	// New makes a checker from the options that the configuration gives, less
	// the port. All mistakes are reported at once, as OptionErrors in an error
	// made by errors.Join.
	New func(options map[string]any) (Checker, error)
}

// types is the table of all kinds of checks. Their connections are opened by d.
func types(d Dialer) []Type {
	return []Type{
		{Name: "http", DefaultPort: 80, New: func(o map[string]any) (Checker, error) { return newHTTP(d.Dial, "http", o) }},
		{Name: "https", DefaultPort: 443, New: func(o map[string]any) (Checker, error) { return newHTTP(d.Dial, "https", o) }},
		{Name: "tcp", New: func(o map[string]any) (Checker, error) { return newTCP(d.Dial, o) }},
	}
}

// Lookup finds a kind of check by the name that it has in the configuration.
func Lookup(name string) (Type, bool) {
	for _, t := range types(Dialer{}) {
		if t.Name == name {
			return t, true
		}
	}
	return Type{}, false
}

// Names lists the kinds of checks in alphabetical order.
func Names() []string {
	var names []string
	for _, t := range types(Dialer{}) {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

// OptionError is a mistake in one option of a check.
type OptionError struct {
	// Path leads to the option from the options' top: the keys of maps, and the
	// indices of lists from zero, for example ["headers", "1", "name"].
	Path    []string
	Problem string // what is wrong and what would be right
}

// Error implements error.
func (e *OptionError) Error() string {
	var path strings.Builder
	for i, step := range e.Path {
		if _, err := strconv.Atoi(step); err == nil {
			path.WriteString("[" + step + "]")
			continue
		}
		if i > 0 {
			path.WriteString(".")
		}
		path.WriteString(step)
	}
	return path.String() + ": " + e.Problem
}
