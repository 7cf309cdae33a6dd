// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers/kind"
)

// maxFile is the most bytes that a configuration file may have.
const maxFile = 4 << 20

// Load reads the configuration from files in YAML, and from those that they
// include: their lists are put one after the other. An error is of type Errors
// and holds every mistake that was found.
//
// Its checks are to be looked at, not to be run: see LoadWith.
func Load(paths ...string) (*Config, error) {
	return LoadWith(kind.NewTable(kind.Env{}), paths...)
}

// LoadWith does the same with checks out of that table, which run in its Env.
func LoadWith(kinds kind.Table, paths ...string) (*Config, error) {
	return machine(kinds).load(paths)
}

// machine is a loader over this machine's files.
func machine(kinds kind.Table) loader {
	return loader{
		env:      os.LookupEnv,
		hostname: os.Hostname,
		now:      time.Now,
		read:     readFile,
		glob:     filepath.Glob,
		types:    kinds.Names(),
		lookup:   kinds.Lookup,
	}
}

// loader holds all that loading asks of the world.
type loader struct {
	env      func(name string) (string, bool)
	hostname func() (string, error)
	now      func() time.Time
	read     func(path string, limit int) ([]byte, error) // at most limit bytes and one
	glob     func(pattern string) ([]string, error)
	types    []string // of checks
	lookup   func(name string) (kind.Kind, bool)
}

func (l loader) load(paths []string) (*Config, error) {
	r := newReport()
	if len(paths) == 0 {
		return nil, Errors{{Message: "no configuration file is named"}}
	}
	values, whole := l.gather(r, paths)
	if !whole { // what is missing may be in the file that could not be read
		return nil, r.err()
	}
	raw, err := decode(values)
	if err != nil {
		r.problems = append(r.problems, Problem{File: paths[0], Message: err.Error()})
		return nil, r.err()
	}
	b := builder{report: r, loader: l, raw: raw}
	cfg := b.config()
	if err := r.err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// gather reads the files and those that they include. It tells whether all of
// them could be read.
func (l loader) gather(r *report, paths []string) (values map[string]any, whole bool) {
	r.places[""] = place{File: paths[0]}
	values, whole = map[string]any{}, true
	for _, path := range paths {
		whole = l.file(r, path, values) && whole
	}
	patterns, _ := values["include"].([]any)
	for _, path := range l.included(r, paths, patterns) {
		whole = l.file(r, path, values) && whole
	}
	if all, _ := values["include"].([]any); len(all) > len(patterns) {
		r.add(at("include", len(patterns)), "stands in an included file: only %s can include", paths[0])
	}
	return values, whole
}

// file adds what a file says to values. It tells whether the file could be read.
func (l loader) file(r *report, path string, values map[string]any) bool {
	text, err := l.read(path, maxFile)
	if err != nil {
		r.problems = append(r.problems, Problem{File: path, Message: unreadable(err)})
		return false
	}
	if len(text) > maxFile {
		r.problems = append(r.problems, Problem{File: path, Message: fmt.Sprintf("is larger than %d bytes", maxFile)})
		return false
	}
	root, problem := parseTree(text)
	if problem != nil {
		problem.File = path
		r.problems = append(r.problems, *problem)
		return false
	}
	w := &walker{report: r, file: path, env: l.env, types: l.types, defaults: defaults()}
	w.mapping(root, reflect.TypeFor[raw](), spot{}, values)
	return true
}

// included finds the files that the key include names, each once, in the order
// of the patterns and of the alphabet within one.
func (l loader) included(r *report, paths []string, patterns []any) []string {
	var found, named []string
	for _, path := range paths {
		named = append(named, filepath.Clean(path)) // as matches are
	}
	for i, pattern := range patterns {
		path := at("include", i)
		pattern, _ := pattern.(string)
		if pattern == "" || !r.ok(path) {
			continue
		}
		pattern = beside(r.places.of(path).File, pattern)
		matches, err := l.glob(pattern)
		switch {
		case err != nil:
			r.add(path, "%q is not a pattern of file names: %v", pattern, err)
		case len(matches) == 0 && !strings.ContainsAny(pattern, "*?["):
			r.add(path, "there is no file %q", pattern)
		}
		for _, match := range matches {
			hidden := strings.HasPrefix(filepath.Base(match), ".") && !strings.HasPrefix(filepath.Base(pattern), ".")
			if !hidden && !slices.Contains(named, match) && !slices.Contains(found, match) {
				found = append(found, match)
			}
		}
	}
	return found
}

// beside is the name relative to the folder of the file that says it.
func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// readFile reads a regular file, at most limit bytes and one, so that the
// caller sees that it is longer.
func readFile(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // to open a named pipe would wait for its writer
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	return io.ReadAll(io.LimitReader(f, int64(limit)+1))
}

// unreadable says why a file could not be read, without its name, which the
// problem has already.
func unreadable(err error) string {
	if pathErr := new(fs.PathError); errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Sprintf("cannot be read: %v", err)
}
