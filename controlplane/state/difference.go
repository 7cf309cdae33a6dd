// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// difference says in short what a configuration changes: the names of what was
// added, removed and changed, of each kind. A service is not changed by a change
// of its pool or its page.
func difference(old, next *config.Config) string {
	var parts []string
	before, after := old.Director, next.Director
	if was, is := strings.Join(before.Interfaces, " "), strings.Join(after.Interfaces, " "); was != is {
		parts = append(parts, "interfaces "+was+" -> "+is)
	}
	before.Interfaces, after.Interfaces = nil, nil
	if !reflect.DeepEqual(before, after) {
		parts = append(parts, "director changed")
	}
	parts = append(parts, compared("check", old.Checks, next.Checks, func(c config.Check) (string, any) { return c.Name, c.Fingerprint })...)
	parts = append(parts, compared("pool", old.Pools, next.Pools, func(p config.Pool) (string, any) { return p.Name, p })...)
	parts = append(parts, compared("page", old.Pages, next.Pages, func(p config.Page) (string, any) { return p.Name, p.Image.Digest })...)
	parts = append(parts, compared("service", old.Services, next.Services, func(s config.Service) (string, any) { return s.Name, s })...)
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, ", ")
}

// compared compares the objects of one kind, which identity gives a name and
// what makes them equal.
func compared[T any](kind string, old, next []T, identity func(T) (name string, content any)) []string {
	before := map[string]any{}
	for _, o := range old {
		name, content := identity(o)
		before[name] = content
	}
	var added, changed, removed []string
	after := map[string]bool{}
	for _, o := range next {
		name, content := identity(o)
		after[name] = true
		was, known := before[name]
		switch {
		case !known:
			added = append(added, name)
		case !reflect.DeepEqual(was, content):
			changed = append(changed, name)
		}
	}
	for _, o := range old {
		if name, _ := identity(o); !after[name] {
			removed = append(removed, name)
		}
	}
	var parts []string
	for _, part := range []struct {
		names []string
		verb  string
	}{{added, "added"}, {changed, "changed"}, {removed, "removed"}} {
		if len(part.names) > 0 {
			parts = append(parts, kind+" "+listed(part.names)+" "+part.verb)
		}
	}
	return parts
}

// listed is the first few of the names, and how many there are more.
func listed(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], " "), len(names)-few)
}
