// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OptionError is a mistake in one option of a check.
type OptionError struct {
	// Path leads to the option from the options' top: the keys of maps, and the
	// indices of lists from zero, for example ["headers", "1", "name"].
	Path    []string
	Problem string // what is wrong and what would be right
	// Options are all that there are in its place, where it is none of them.
	Options []string
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

// options reads one map of options strictly: what it is asked for must have the
// right type, and what it was never asked for is a mistake. Mistakes pile up
// until err, so that the operator sees them all at once.
type options struct {
	path    []string
	values  map[string]any
	known   []string
	ported  bool // that the configuration takes a port beside them
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
		return o.enter(map[string]any{}, key)
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

// number reads a whole number from least to most.
func (o *options) number(key string, fallback, least, most int) int {
	value, ok := o.get(key)
	if !ok {
		return fallback
	}
	number, ok := value.(int)
	if !ok || number < least || number > most {
		o.reject([]string{key}, "%v is not a whole number from %d to %d", value, least, most)
		return fallback
	}
	return number
}

// duration reads a time from least to most: 500ms, 2s, 1h, 14d.
func (o *options) duration(key string, fallback, least, most time.Duration) time.Duration {
	value, ok := o.get(key)
	if !ok {
		return fallback
	}
	text, _ := value.(string)
	d, err := parseDuration(text)
	if err != nil || d < least || d > most {
		o.reject([]string{key}, "%v is not a time from %v to %v: write it as 500ms, 2s or 1h", value, least, most)
		return fallback
	}
	return d
}

// parseDuration knows whole days as well, of 24 hours each.
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// size reads a number of bytes from least to most: 4096, 64KiB, 1MiB.
func (o *options) size(key string, fallback, least, most int) int {
	value, ok := o.get(key)
	if !ok {
		return fallback
	}
	text := fmt.Sprint(value)
	unit := 1
	for suffix, bytes := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = strings.TrimSpace(number), bytes
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > most/unit || n*unit < least {
		o.reject([]string{key}, "%v is not a size from %d to %d bytes: write it as 4096, 64KiB or 1MiB", value, least, most)
		return fallback
	}
	return n * unit
}

// choice reads one of a few texts.
func (o *options) choice(key, fallback string, values ...string) string {
	text := o.text(key, fallback)
	if text != fallback && !slices.Contains(values, text) {
		o.reject([]string{key}, "%q is none of %s", text, strings.Join(values, ", "))
		return fallback
	}
	return text
}

// texts reads a list of texts, none of them empty.
func (o *options) texts(key string) []string {
	var all []string
	for i, value := range o.list(key) {
		text, ok := value.(string)
		if !ok || text == "" {
			o.reject([]string{key, strconv.Itoa(i)}, "%v is not a text: put it in quotes", value)
			continue
		}
		all = append(all, text)
	}
	return all
}

// pattern reads a regular expression in the syntax of package regexp; nil where
// there is none.
func (o *options) pattern(key string) *regexp.Regexp {
	text := o.text(key, "")
	if text == "" {
		return nil
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		o.reject([]string{key}, "%q is not a regular expression: %v", text, err)
		return nil
	}
	return pattern
}

// keys lists all that was asked for so far, the keys of maps with dots between.
func (o *options) keys() []string {
	var all []string
	for _, key := range o.known {
		all = append(all, strings.Join(append(slices.Clone(o.path), key), "."))
	}
	for _, inner := range o.inner {
		all = append(all, inner.keys()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// err returns all mistakes, among them the keys that nobody asked for.
func (o *options) err() error {
	all := slices.Clone(o.known)
	if o.ported {
		all = append(all, "port")
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, key := range slices.Sorted(maps.Keys(o.values)) {
		if slices.Contains(o.known, key) {
			continue
		}
		problem := "is not an option here: there is none"
		if len(all) > 0 {
			problem = "is not an option here: the options are " + strings.Join(all, ", ")
		}
		o.mistake = append(o.mistake, &OptionError{Path: slices.Concat(o.path, []string{key}), Problem: problem, Options: all})
	}
	for _, inner := range o.inner {
		o.mistake = append(o.mistake, inner.err())
	}
	return errors.Join(o.mistake...)
}
