// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/maitred-lb/maitred/checkers/kind"
)

// compiled is the schema as a validator of its own understands it.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("maitred.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("maitred.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fromYAML(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemaTakesWhatLoads: the reference, and every example of the guides.
func TestSchemaTakesWhatLoads(t *testing.T) {
	s := compiled(t)
	if err := s.Validate(fromYAML(t, Reference())); err != nil {
		t.Errorf("the reference: %v", err)
	}
	guides, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(guides) < 4 {
		t.Fatalf("%d guides: %v", len(guides), err)
	}
	examples := 0
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		for i, example := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
			examples++
			if err := s.Validate(fromYAML(t, example[1])); err != nil {
				t.Errorf("%s, example %d: %v", guide, i, err)
			}
		}
	}
	if examples == 0 {
		t.Error("no guide has an example")
	}
}

func TestSchemaKnowsMistakes(t *testing.T) {
	s := compiled(t)
	for name, text := range map[string]string{
		"no such key":         "direktor: {}",
		"no such key inside":  "director: {interface: [eth0]}",
		"no such kind":        "checks: [{name: a, htttp: {}}]",
		"no such option":      "checks: [{name: a, http: {pth: /}}]",
		"no such inner one":   "checks: [{name: a, http: {expect: {code: 200}}}]",
		"a text for a list":   "services: shop",
		"a map for a scalar":  "director: {name: {a: b}}",
		"a value that is not": "checks: [{name: a, http: {version: h5}}]",
	} {
		if s.Validate(fromYAML(t, text)) == nil {
			t.Errorf("%s: %q was taken", name, text)
		}
	}
}

// TestSchemaExplainsEveryKey, as the reference does.
func TestSchemaExplainsEveryKey(t *testing.T) {
	told := remarks()
	for _, form := range forms(reflect.TypeFor[raw](), "") {
		if told[form] == "" {
			t.Errorf("%s has no description", form)
		}
	}
	if got := slices.Collect(maps.Keys(told)); !slices.Contains(got, "director.connections.memory") || strings.Contains(told["include"], "This machine") {
		t.Errorf("%q", told["include"])
	}
	for _, k := range kind.NewTable(kind.Env{}).Kinds() {
		if kindSchema(k)["description"] != k.Doc {
			t.Errorf("%s is not described", k.Name)
		}
	}
}
