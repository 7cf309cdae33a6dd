// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what a file may grow to through aliases, which can refer to
// lists of aliases.
const maxNodes = 200_000

// walker goes through one file's tree along the fields of raw. It notes the
// place of every key, reports what does not fit, and leaves plain values that
// fit raw exactly.
type walker struct {
	*report
	file     string
	env      func(string) (string, bool)
	types    []string       // of checks
	defaults map[string]any // by form
	nodes    int            // seen so far
	open     []*yaml.Node   // from the top down to here
}

// mapping adds the keys of the map n to into. Further files may have added
// some before; defaults go only into items of lists, which are whole within
// one file.
func (w *walker) mapping(n *yaml.Node, t reflect.Type, at spot, into map[string]any) map[string]any {
	fields, rest := fieldsOf(t)
	if n != nil {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			field, known := fields[key.Value]
			switch {
			case known:
				w.entry(key, value, field, at.key(key.Value), into)
			case rest && slices.Contains(w.types, key.Value):
				w.typeKey(key, value, at.key(key.Value), into)
			default:
				w.unknown(key, at, fields, rest)
			}
		}
	}
	if strings.Contains(at.form, "[]") {
		w.fill(fields, at, into)
	}
	return into
}

// entry adds one key of a map.
func (w *walker) entry(key, n *yaml.Node, t reflect.Type, at spot, into map[string]any) {
	if !w.enter(key, at, t.Kind() == reflect.Struct || t.Kind() == reflect.Slice) {
		return
	}
	if value, ok := w.value(n, t, at, into[key.Value]); ok {
		into[key.Value] = value
	}
}

// enter notes the place of a key. A key is given once, but what holds keys or
// items may go on in another file.
func (w *walker) enter(key *yaml.Node, at spot, goesOn bool) bool {
	before, again := w.places[at.path]
	here := place{w.file, key.Line, at.local}
	switch {
	case again && (before.File == w.file || !goesOn):
		w.places[at.path] = here
		delete(w.bad, at.path) // another line, another mistake
		w.add(at.path, "is given twice: first at %v", before)
		w.places[at.path] = before
		return false
	case !again:
		w.places[at.path] = here
	}
	return true
}

// value reads a node as t. What it already has from other files is have.
func (w *walker) value(n *yaml.Node, t reflect.Type, at spot, have any) (any, bool) {
	n, leave, ok := w.resolve(n, at)
	if !ok {
		return nil, false
	}
	defer leave()
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return w.duration(n, at)
	case t.Kind() == reflect.Int:
		return w.number(n, at)
	case t.Kind() == reflect.Bool:
		return w.truth(n, at)
	case t.Kind() == reflect.String:
		return w.text(n, at)
	case t.Kind() == reflect.Slice:
		return w.list(n, t.Elem(), at, have)
	}
	if t == reflect.TypeFor[rawSorry]() && n.Kind == yaml.ScalarNode && n.Value == noPage {
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Value: "page", Line: n.Line}, n,
		}}
	}
	into, _ := have.(map[string]any)
	if into == nil {
		into = map[string]any{}
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		n = nil
	case n.Kind != yaml.MappingNode:
		w.add(at.path, "is %s, not a map of keys%s", describe(n), asMap(n, t))
		w.vague[at.path], n = true, nil
	}
	return w.mapping(n, t, at, into), true
}

// asMap says how a single value that stands for a map would be written.
func asMap(n *yaml.Node, t reflect.Type) string {
	if n.Kind != yaml.ScalarNode {
		if t == reflect.TypeFor[rawSorry]() {
			return ": write {page: ...}, or none"
		}
		return ""
	}
	value := n.Value
	if strings.ContainsAny(value, "{}[],:#\"' ") {
		value = strconv.Quote(value)
	}
	switch t {
	case reflect.TypeFor[rawServer]():
		return ": write {address: " + value + "}"
	case reflect.TypeFor[rawTunnel]():
		return ": write {type: " + value + "}"
	case reflect.TypeFor[rawQuorum]():
		return ": write {min: " + value + "}"
	case reflect.TypeFor[rawSorry]():
		return ": write {page: " + value + "}, or none"
	}
	return ""
}

func (w *walker) list(n *yaml.Node, t reflect.Type, at spot, have any) (any, bool) {
	items, _ := have.([]any)
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return items, true
	case n.Kind == yaml.ScalarNode:
		w.add(at.path, "is a single value, not a list: put it in brackets, as in [a, b]")
		return nil, false
	case n.Kind != yaml.SequenceNode:
		w.add(at.path, `is %s, not a list: begin each item with "- "`, describe(n))
		return nil, false
	}
	before := len(items)
	for i, item := range n.Content {
		at := at.item(before, i)
		w.places[at.path] = place{w.file, item.Line, at.local}
		value, ok := w.value(item, t, at, nil)
		if !ok {
			value = reflect.Zero(t).Interface() // keeps the count; its problem is known
		}
		items = append(items, value)
	}
	return items, true
}

// fill gives the keys of an item their defaults.
func (w *walker) fill(fields map[string]reflect.Type, at spot, into map[string]any) {
	for name, t := range fields {
		if _, ok := into[name]; ok {
			continue
		}
		if value, ok := w.defaults[at.key(name).form]; ok {
			into[name] = value
		} else if t.Kind() == reflect.Struct {
			into[name] = w.mapping(nil, t, at.key(name), map[string]any{})
		}
	}
}

func (w *walker) unknown(key *yaml.Node, at spot, fields map[string]reflect.Type, rest bool) {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	if rest {
		names = append(names, w.types...)
	}
	slices.Sort(names)
	w.vague[at.path] = true
	spot := at.key(key.Value)
	if w.given(spot.path) {
		return
	}
	w.places[spot.path] = place{w.file, key.Line, spot.local}
	if key.Tag == "!!merge" {
		w.add(spot.path, "is a merge key, which is not read here: write the keys out")
		return
	}
	w.add(spot.path, "is not a key here%s", orOneOf(key.Value, names))
}

// resolve follows an alias. The caller calls leave when it is done with what
// is in the node.
func (w *walker) resolve(n *yaml.Node, at spot) (node *yaml.Node, leave func(), ok bool) {
	w.nodes++
	if w.nodes > maxNodes {
		w.add("", "has more than %d values, aliases counted as what they stand for", maxNodes)
		return nil, nil, false
	}
	if n.Kind == yaml.AliasNode {
		if slices.Contains(w.open, n.Alias) {
			w.add(at.path, "holds itself through the alias *%s", n.Value)
			return nil, nil, false
		}
		n = n.Alias
	}
	w.open = append(w.open, n)
	return n, func() { w.open = w.open[:len(w.open)-1] }, true
}

// fieldsOf lists the keys of a struct of raw, and whether further keys are
// allowed. All fields of raw are bool, int, string, time.Duration, a struct or
// a list of these.
func fieldsOf(t reflect.Type) (fields map[string]reflect.Type, rest bool) {
	fields = map[string]reflect.Type{}
	for field := range t.Fields() {
		switch tag := field.Tag.Get("mapstructure"); tag {
		case ",remain":
			rest = true
		case ",squash":
			inner, _ := fieldsOf(field.Type)
			for name, t := range inner {
				fields[name] = t
			}
		default:
			fields[tag] = field.Type
		}
	}
	return fields, rest
}
