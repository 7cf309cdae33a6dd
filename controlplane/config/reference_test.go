// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// documented is a key of the reference.
type documented struct {
	value   string // of a scalar
	comment bool
}

// collect gathers the keys below a node by form, those of all items of a list
// in one. Of a key that stands there twice the first is kept.
func collect(n *yaml.Node, form string, into map[string]documented) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			name := strings.TrimPrefix(form+"."+key.Value, ".")
			if _, ok := into[name]; !ok {
				comments := key.HeadComment + key.LineComment + value.LineComment
				if value.Kind == yaml.SequenceNode && value.Style == yaml.FlowStyle {
					comments += value.HeadComment + value.FootComment
				}
				if i == 0 { // the parser gives a first key's comment to its map
					comments += n.HeadComment
				}
				into[name] = documented{value.Value, comments != ""}
			}
			collect(value, name, into)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			collect(item, form+"[]", into)
		}
	case yaml.ScalarNode, yaml.AliasNode, yaml.DocumentNode:
	}
}

// forms lists the keys below a type of raw. The kinds of checks are not among them:
// docs/checks.md has those.
func forms(t reflect.Type, form string) []string {
	var all []string
	fields, _ := fieldsOf(t)
	for name, t := range fields {
		name = strings.TrimPrefix(form+"."+name, ".")
		all = append(all, name)
		if t.Kind() == reflect.Slice {
			name, t = name+"[]", t.Elem()
		}
		if t.Kind() == reflect.Struct {
			all = append(all, forms(t, name)...)
		}
	}
	return all
}

func TestReferenceHasEveryKey(t *testing.T) {
	root, problem := parseTree([]byte(Reference()))
	if problem != nil {
		t.Fatal(problem)
	}
	keys := map[string]documented{}
	collect(root, "", keys)
	all := forms(reflect.TypeFor[raw](), "")
	if len(all) < 50 {
		t.Fatalf("only %d keys were found by reflection", len(all))
	}
	for _, form := range all {
		key, ok := keys[form]
		if !ok {
			t.Errorf("%s is not in reference.yaml", form)
			continue
		}
		if !key.comment {
			t.Errorf("%s has no comment in reference.yaml", form)
		}
	}
	for form, value := range defaults() {
		if d, ok := value.(time.Duration); ok {
			value = short(d)
		}
		if got, want := keys[form].value, fmt.Sprint(value); got != want {
			t.Errorf("%s: reference.yaml says %q, the default is %q", form, got, want)
		}
		if !slices.Contains(all, form) {
			t.Errorf("%s has a default and is not a key", form)
		}
	}
	t.Logf("%d keys, %d defaults", len(all), len(slices.Collect(maps.Keys(defaults()))))
}

func TestReferenceLoads(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "maitred.yaml"), Reference())
	write(t, filepath.Join(dir, "closed.html"), "<p>closed")
	write(t, filepath.Join(dir, "cookie.key"), strings.Repeat("s", leastSecret))
	cert, key := certificate(t, time.Hour)
	write(t, filepath.Join(dir, "shop.pem"), cert)
	write(t, filepath.Join(dir, "shop.key"), key)
	cfg, err := Load(filepath.Join(dir, "maitred.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, cfg)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
