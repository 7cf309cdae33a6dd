// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"regexp"

	"go.yaml.in/yaml/v3"
)

var optionKey = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// typeKey adds the key that is the type of a check, with its options.
func (w *walker) typeKey(key, n *yaml.Node, at spot, into map[string]any) {
	if !w.enter(key, at, false) {
		return
	}
	into[key.Value] = map[string]any{}
	resolved, leave, ok := w.resolve(n, at)
	if !ok {
		return
	}
	defer leave()
	if resolved.Kind == yaml.ScalarNode && resolved.ShortTag() == "!!null" {
		return
	}
	if resolved.Kind != yaml.MappingNode {
		w.add(at.path, "is %s, not options: write %s: {}", describe(resolved), key.Value)
		return
	}
	if options, ok := w.options(resolved, at); ok {
		into[key.Value] = options
	}
}

// options turns a node into what a check's type is made from: maps, lists,
// text, numbers and truth.
func (w *walker) options(n *yaml.Node, at spot) (any, bool) {
	n, leave, ok := w.resolve(n, at)
	if !ok {
		return nil, false
	}
	defer leave()
	switch n.Kind {
	case yaml.MappingNode:
		return w.optionMap(n, at), true
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			at := at.item(0, i)
			w.places[at.path] = place{w.file, item.Line, at.local}
			value, _ := w.options(item, at)
			list = append(list, value)
		}
		return list, true
	case yaml.ScalarNode, yaml.AliasNode, yaml.DocumentNode:
	}
	return w.option(n, at)
}

func (w *walker) optionMap(n *yaml.Node, at spot) map[string]any {
	into := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := at.key(key.Value)
		if !w.enter(key, at, false) {
			continue
		}
		// viper makes keys small, so that Host and host could not be told apart.
		if !optionKey.MatchString(key.Value) {
			w.add(at.path, "is not an option: options are written in small letters, digits and _")
			continue
		}
		if value, ok := w.options(value, at); ok {
			into[key.Value] = value
		}
	}
	return into
}

// portOption reads the option port, which no type of check sees.
func portOption(value any) (uint16, bool) {
	number, ok := value.(int)
	if !ok || number < 1 || number > math.MaxUint16 {
		return 0, false
	}
	return uint16(number), true
}
