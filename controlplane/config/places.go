// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// place is where a key stands.
type place struct {
	File string
	Line int
	Path string // items of lists counted within the file
}

// String gives the place as other problems refer to it.
func (p place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// places finds the place of a key by its path in the whole configuration,
// where the lists of all files are one.
type places map[string]place

// of returns the place of the key, or that of what it belongs to if the files do
// not have the key.
func (p places) of(path string) place {
	for at := path; ; at = parent(at) {
		if found, ok := p[at]; ok {
			found.Path = strings.TrimPrefix(found.Path+path[len(at):], ".")
			return found
		}
		if at == "" {
			return place{Path: path}
		}
	}
}

// parent cuts the last step off a path: a key or the index of an item.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// spot is a node's place on the way through a file's tree.
type spot struct {
	path  string // in the whole configuration
	local string // in the file
	form  string // without indices: "services[].quorum.min"
}

func (s spot) key(name string) spot {
	shown := oneLine(name)
	if s.path == "" {
		return spot{name, shown, name}
	}
	return spot{s.path + "." + name, s.local + "." + shown, s.form + "." + name}
}

// item is the i-th item in the file of a list that began in other files.
func (s spot) item(before, i int) spot {
	return spot{
		path:  fmt.Sprintf("%s[%d]", s.path, before+i),
		local: fmt.Sprintf("%s[%d]", s.local, i),
		form:  s.form + "[]",
	}
}

// at builds the path of a key: at("services", 0, "quorum", "min") is
// "services[0].quorum.min".
func at(steps ...any) string {
	var b strings.Builder
	for _, step := range steps {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, step)
		}
	}
	return b.String()
}
