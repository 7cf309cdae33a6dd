// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The walker lets nothing through that decode refuses; decode is strict all
// the same.
func TestDecodeIsStrict(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"unknown key":         {"directr": map[string]any{"name": "x"}}, // an empty map would vanish in viper
		"unknown key in map":  {"director": map[string]any{"nam": "x"}},
		"unknown key in item": {"pools": []any{map[string]any{"nam": "x"}}},
		"text for a number":   {"health": map[string]any{"defaults": map[string]any{"rise": "two"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := decode(values); err == nil {
				t.Errorf("no error, but %+v", r)
			}
		})
	}
}

// viper's own delimiter would tear these apart and lose them.
func TestDecodeKeepsKeysWhole(t *testing.T) {
	options := map[string]any{"a.b": "C", "192.0.2.1:80": "D"}
	r, err := decode(map[string]any{"checks": []any{map[string]any{"name": "x", "http": options}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Checks[0].Types["http"]); got != "map[192.0.2.1:80:D a.b:C]" {
		t.Errorf("options %v", got)
	}
	if _, err := decode(map[string]any{"director.name": "x"}); err == nil {
		t.Error("director.name is taken for a path")
	}
}

func TestDecodeDefaults(t *testing.T) {
	r, err := decode(map[string]any{"health": map[string]any{"defaults": map[string]any{"fall": 9}}})
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Health.Defaults; d.Fall != 9 || d.Rise != 2 || d.Interval != 5*time.Second {
		t.Errorf("health.defaults %+v", d)
	}
}

// BenchmarkLoad loads 2000 services with a pool and a check each.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	text.WriteString(director + "checks:\n")
	const n = 2000
	for i := range n {
		fmt.Fprintf(&text, "- {name: c%d, http: {path: /%d}}\n", i, i)
	}
	text.WriteString("pools:\n")
	for i := range n {
		fmt.Fprintf(&text, "- {name: p%d, checks: [c%d], servers: [{address: 10.0.0.1}, {address: 10.0.0.2}]}\n", i, i)
	}
	text.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&text, "- {name: s%d, addresses: [10.1.%d.%d], ports: [80], pool: p%d}\n", i, i/250, i%250+1, i)
	}
	l := fake(map[string]string{"m.yaml": text.String()}, nil)
	for b.Loop() {
		if _, err := l.load([]string{"m.yaml"}); err != nil {
			b.Fatal(err)
		}
	}
}
