// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// options reads one map of options strictly: what it is asked for must have the
// right type, and what it was never asked for is a mistake. Mistakes pile up
// until err, so that the operator sees them all at once.
type options struct {
	path    []string
	values  map[string]any
	known   []string
	inner   []*options
	mistake []error
}

func newOptions(values map[string]any, path ...string) *options {
	return &options{path: path, values: values}
}

// reject notes a mistake below the path.
func (o *options) reject(where []string, format string, args ...any) {
	o.mistake = append(o.mistake, &OptionError{
		Path:    slices.Concat(o.path, where),
		Problem: fmt.Sprintf(format, args...),
	})
}

// get tells whether the key is there, and its value. A key with an empty value
// is a mistake: the operator meant to write something.
func (o *options) get(key string) (any, bool) {
	o.known = append(o.known, key)
	value, ok := o.values[key]
	if ok && value == nil {
		o.reject([]string{key}, "is empty: give a value or remove it")
		return nil, false
	}
	return value, ok
}

// text reads a string, or the fallback where there is none. It never returns
// an empty string that the operator wrote.
func (o *options) text(key, fallback string) string {
	value, ok := o.get(key)
	if !ok {
		return fallback
	}
	text, ok := value.(string)
	if !ok {
		o.reject([]string{key}, "%v is not a text: put it in quotes", value)
		return fallback
	}
	if text == "" {
		o.reject([]string{key}, "is empty: give a value or remove it")
		return fallback
	}
	return text
}

// need reads a string that must be there, or returns an empty one.
func (o *options) need(key string) string {
	if _, ok := o.values[key]; !ok {
		o.known = append(o.known, key)
		o.reject([]string{key}, "is missing")
		return ""
	}
	return o.text(key, "")
}

// flag reads true or false.
func (o *options) flag(key string, fallback bool) bool {
	value, ok := o.get(key)
	if !ok {
		return fallback
	}
	flag, ok := value.(bool)
	if !ok {
		o.reject([]string{key}, "%#v is neither true nor false", value)
		return fallback
	}
	return flag
}

// list reads a list.
func (o *options) list(key string) []any {
	value, ok := o.get(key)
	if !ok {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		o.reject([]string{key}, "%v is not a list: write it as [...]", value)
	}
	return list
}

// in reads a map inside the map; it is empty where there is none.
func (o *options) in(key string) *options {
	value, ok := o.get(key)
	if !ok {
		return newOptions(nil)
	}
	return o.enter(value, key)
}

// each reads a list of maps.
func (o *options) each(key string) []*options {
	var all []*options
	for i, value := range o.list(key) {
		all = append(all, o.enter(value, key, strconv.Itoa(i)))
	}
	return all
}

// enter makes the reader of a map inside the map. Its mistakes count as ours.
func (o *options) enter(value any, where ...string) *options {
	values, ok := value.(map[string]any)
	if !ok {
		o.reject(where, "%v is not a map: write it as {key: value}", value)
		return newOptions(nil)
	}
	inner := newOptions(values, slices.Concat(o.path, where)...)
	o.inner = append(o.inner, inner)
	return inner
}

// err returns all mistakes, among them the keys that nobody asked for.
func (o *options) err() error {
	for _, key := range slices.Sorted(maps.Keys(o.values)) {
		if slices.Contains(o.known, key) {
			continue
		}
		if len(o.known) == 0 {
			o.reject([]string{key}, "is not an option here: there is none but port")
			continue
		}
		o.reject([]string{key}, "is not an option here: the options are %s", strings.Join(slices.Sorted(slices.Values(o.known)), ", "))
	}
	for _, inner := range o.inner {
		o.mistake = append(o.mistake, inner.err())
	}
	return errors.Join(o.mistake...)
}
