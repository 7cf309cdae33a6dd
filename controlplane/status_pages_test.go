// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

func TestPagesOfServices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.yaml")
	text := `director: {interfaces: [eth0]}
pools: [{name: app, servers: [{address: 10.0.0.1}]}]
pages: [{name: whose, template: true, body: "{{service}}"}, {name: mail, protocol: smtp}, {name: unused}]
services:
- {name: a, addresses: [192.0.2.1], ports: [80], pool: app}
- {name: b, addresses: [192.0.2.1], ports: [81], pool: app, sorry: {page: whose}}
- {name: c, addresses: [192.0.2.1], ports: [82], pool: app, sorry: {page: whose}}
- {name: d, addresses: [192.0.2.1], ports: [25], pool: app, sorry: {page: mail}}
- {name: e, addresses: [192.0.2.1], ports: [83], pool: app}
- {name: f, addresses: [192.0.2.1], ports: [53], pool: app, protocol: udp}
- {name: g, addresses: [192.0.2.1], ports: [84], pool: app, sorry: none}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := state.Apply(state.New(), time.Now(), state.Loaded{Config: cfg})
	want := []api.Page{
		{Name: "default", Protocol: "http", Variants: 1, Burst: 1, Memory: maps.PageMemory, Services: []string{"a", "e"}},
		{Name: "whose", Protocol: "http", Variants: 1, Burst: 1, Memory: maps.PageMemory, Services: []string{"b"}},
		{Name: "whose", Protocol: "http", Variants: 1, Burst: 1, Memory: maps.PageMemory, Services: []string{"c"}},
		{Name: "mail", Protocol: "smtp", Burst: 1, Memory: maps.PageMemory, Services: []string{"d"}},
	}
	got := pages(s)
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(api.Page{}, "Bytes")); d != "" {
		t.Errorf("pages (-want +got):\n%s", d)
	}
	for _, p := range got {
		if p.Bytes == 0 {
			t.Errorf("%s has no bytes", p.Name)
		}
	}
}
