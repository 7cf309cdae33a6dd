// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

var (
	bareNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// text is a scalar as it is written, with what stands for the environment put
// in: no and 010 stay "no" and "010", whatever YAML makes of them.
func (w *walker) text(n *yaml.Node, at spot) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		w.add(at.path, "is %s, not a single value", describe(n))
		return "", false
	case n.ShortTag() == "!!null":
		w.add(at.path, "is empty: give a value or remove the key")
		return "", false
	case !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, n.ShortTag()):
		w.add(at.path, "has the tag %s: tags are not used here", n.ShortTag())
		return "", false
	}
	value, err := expand(n.Value, w.env)
	if err != nil {
		w.add(at.path, "%v", err)
		return "", false
	}
	if value != n.Value {
		w.secrets[at.path] = secret{n.Value, value}
	}
	return value, true
}

func (w *walker) number(n *yaml.Node, at spot) (int, bool) {
	text, ok := w.text(n, at)
	if !ok {
		return 0, false
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		w.add(at.path, "%q is not a whole number", text)
	}
	return number, err == nil
}

// truth is true or false. What else YAML takes for one of them is not clear to
// everybody who reads it.
func (w *walker) truth(n *yaml.Node, at spot) (bool, bool) {
	text, ok := w.text(n, at)
	if !ok {
		return false, false
	}
	if text != "true" && text != "false" {
		w.add(at.path, "%q is neither true nor false", text)
	}
	return text == "true", w.ok(at.path)
}

func (w *walker) duration(n *yaml.Node, at spot) (time.Duration, bool) {
	text, ok := w.text(n, at)
	if !ok {
		return 0, false
	}
	if bareNumber.MatchString(text) {
		w.add(at.path, "%s has no unit: say %ss", n.Value, n.Value)
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		w.add(at.path, "%q is not a duration: say 500ms, 5s or 2m", text)
	}
	return d, err == nil
}

// option is a scalar of which only the check's type knows the meaning.
func (w *walker) option(n *yaml.Node, at spot) (any, bool) {
	if n.ShortTag() == "!!null" {
		return nil, true
	}
	text, ok := w.text(n, at)
	if !ok || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return text, ok
	}
	switch plain := (&yaml.Node{Kind: yaml.ScalarNode, Value: text}); plain.ShortTag() {
	case "!!int":
		if number, err := strconv.Atoi(text); err == nil {
			return number, true
		}
	case "!!float":
		if number, err := strconv.ParseFloat(text, 64); err == nil {
			return number, true
		}
	case "!!bool":
		return strings.EqualFold(text, "true"), true
	}
	return text, true
}

// expand replaces ${NAME} by the environment's value, and $${ by ${.
func expand(text string, env func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			return out.String() + text, nil
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		name, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed || !envName.MatchString(name) {
			return "", errors.New(`has "${" without a name and "}" after it: write ${NAME} for the environment, $${ for a plain ${`)
		}
		value, ok := env(name)
		if !ok {
			return "", fmt.Errorf("the environment has no %s", name)
		}
		out.WriteString(text[:i] + value)
		text = rest
	}
}
