// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Errors are all the mistakes of a configuration, sorted by file and line.
type Errors []Problem

// Problem is one mistake.
type Problem struct {
	File    string // as it was named to Load, or found by an include
	Line    int    // from 1; zero where the mistake has no line
	Path    string // the key, for example "services[0].scheduler"; items are counted within the file
	Message string // what is wrong and what would be right
}

// Error implements error: one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// String gives the problem as "file:line: path: message".
func (p Problem) String() string {
	var parts []string
	switch {
	case p.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d", p.File, p.Line))
	case p.File != "":
		parts = append(parts, p.File)
	}
	if p.Path != "" {
		parts = append(parts, p.Path)
	}
	return strings.Join(append(parts, p.Message), ": ")
}

// Error implements error.
func (p Problem) Error() string { return p.String() }

func newProblem(places places, secrets secrets, path, format string, args ...any) Problem {
	at := places.of(path)
	message := secrets.hide(path, fmt.Sprintf(format, args...))
	return Problem{at.File, at.Line, at.Path, oneLine(message)}
}

// Problem is a mistake that was found after loading, with the place of the key
// at path, or of what it would belong to where the files do not have it.
func (c *Config) Problem(path, format string, args ...any) Problem {
	return newProblem(c.places, c.secrets, path, format, args...)
}

// Shown is the value of the key at path as a message may show it: without what
// the environment put there.
func (c *Config) Shown(path string, value any) string {
	return c.secrets.hide(path, fmt.Sprint(value))
}

// report gathers problems. It keeps one for each key: what follows from the
// first would only confuse.
type report struct {
	problems Errors
	places   places
	secrets  secrets
	bad      map[string]bool // keys that have a problem
	// vague holds the maps in which a key was not understood: what seems to be
	// missing there may be what was misspelt.
	vague map[string]bool
}

func newReport() *report {
	return &report{places: places{}, secrets: secrets{}, bad: map[string]bool{}, vague: map[string]bool{}}
}

// add notes what is wrong with the key at path.
func (r *report) add(path, format string, args ...any) {
	if r.bad[path] {
		return
	}
	r.bad[path] = true
	r.problems = append(r.problems, newProblem(r.places, r.secrets, path, format, args...))
}

// oneLine keeps what an operator wrote from breaking a problem's line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// missing notes that a key which must be there is not.
func (r *report) missing(path, remedy string) {
	if r.vague[parent(path)] {
		return
	}
	r.add(path, "is missing: %s", remedy)
}

// ok tells whether none of the keys has a problem so far.
func (r *report) ok(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool { return r.bad[p] })
}

// given tells whether the files have the key, as opposed to its default.
func (r *report) given(path string) bool {
	_, ok := r.places[path]
	return ok
}

// err returns all problems, or nil.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
	return r.problems
}

// each takes apart what errors.Join put together.
func each(err error) []error {
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, each(err)...)
	}
	return all
}
