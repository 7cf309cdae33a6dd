// SPDX-License-Identifier: Apache-2.0

package checkers

import "strings"

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

// OptionError is a mistake in one option of a check.
type OptionError struct {
	Path    []string // below the options, for example ["expect", "status"]
	Problem string   // what is wrong and what would be right
}

// Error implements error.
func (e *OptionError) Error() string {
	return strings.Join(e.Path, ".") + ": " + e.Problem
}
