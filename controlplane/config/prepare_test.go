// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrepareMakesWhatServicesShow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "maitred.yaml")
	text := `
director: {interfaces: [lo]}
pools:
  - {name: app, servers: [{address: 10.0.0.11}]}
pages:
  - {name: closed, body: "{{service}} is closed", template: true}
  - {name: full, body: "{{service}} is full", template: true}
  - {name: unused, body: "{{service}}", template: true}
services:
  - {name: shop, addresses: [192.0.2.10], ports: [80], pool: app, sorry: {page: closed}}
  - {name: blog, addresses: [192.0.2.11], ports: [80], pool: app, shed: {when: {connections: 9}, fraction: 10%, page: full}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	made := func() map[string][]string {
		got := map[string][]string{}
		for _, p := range cfg.Pages {
			if p.PerService() {
				got[p.Name] = slices.Sorted(maps.Keys(p.each.made))
			}
		}
		return got
	}
	if diff := cmp.Diff(map[string][]string{"closed": nil, "full": nil, "unused": nil}, made()); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	cfg.Prepare()
	if diff := cmp.Diff(map[string][]string{"closed": {"shop"}, "full": {"blog"}, "unused": nil}, made()); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}
