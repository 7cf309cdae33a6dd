// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/state"
)

func (r *rig) sayOfServers(w api.ServerWord) api.ServerSaid {
	r.t.Helper()
	said, err := r.client.Server(r.t.Context(), w)
	if err != nil {
		r.t.Fatal(err)
	}
	return said
}

func TestServerWordIsDoneAtOnceAndOutlivesTheDaemon(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	r.inputs.Probed(up(serverA))
	r.inputs.Probed(up(serverB))
	r.expect("READY=1", 1)
	word := api.ServerWord{Servers: []string{"app/a"}, Mode: "drain"}
	want := api.ServerSaid{Servers: []api.ServerSaidOf{
		{Name: "app/a", Verdict: "drain", Changed: true, Reason: "drain, by an operator; all checks pass"},
	}}
	if d := cmp.Diff(want, r.sayOfServers(word)); d != "" {
		t.Errorf("said (-want +got):\n%s", d)
	}
	want.Servers[0].Changed = false
	if d := cmp.Diff(want, r.sayOfServers(word)); d != "" {
		t.Errorf("said again (-want +got):\n%s", d)
	}
	r.sayOfServers(api.ServerWord{Servers: []string{"app/b"}, Mode: "up", Weight: 0.5, For: 600})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	after := newRig(t, func(next *rig) { next.socket, next.config, next.client = r.socket, r.config, r.client })
	after.start()
	a, b := after.status().Servers[0], after.status().Servers[1]
	if a.Override == nil || a.Override.Mode != "drain" || a.Verdict != "drain" || a.Own != "unknown" || !a.Override.Until.IsZero() {
		t.Errorf("after the start: %+v", a)
	}
	if o := b.Override; o == nil || o.Mode != "up" || o.Weight != 0.5 || o.Until.Sub(o.Since) != 10*time.Minute || b.Weight != 50 || b.Factors.Operator != 0.5 {
		t.Errorf("after the start: %+v", b)
	}
	after.sayOfServers(api.ServerWord{Servers: []string{"*/*"}, Mode: "auto"})
	text, err := os.ReadFile(serverOverridesFile(after.config))
	if err != nil || strings.TrimSpace(string(text)) != "{}" {
		t.Errorf("file %s, %v", text, err)
	}
	if st := after.status(); st.Servers[0].Override != nil || st.Servers[1].Override != nil {
		t.Errorf("in the end: %+v", st.Servers)
	}
}

// TestServerWordWhoseTimeIsUp: what ended while no daemon ran is not done, and forgotten.
func TestServerWordWhoseTimeIsUp(t *testing.T) {
	r := newRig(t, nil)
	path := serverOverridesFile(r.config)
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	if err := os.WriteFile(path, []byte(`{"app/a": {"mode": "maint", "until": "`+past+`"}, "app/b": {"mode": "drain"}, "gone/x": {"mode": "up"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	if st := r.status(); st.Servers[0].Override != nil || st.Servers[1].Verdict != "drain" {
		t.Errorf("%+v", st.Servers)
	}
	kept, err := readOverrides[state.ServerID, state.ServerOverride](path)
	want := map[state.ServerID]state.ServerOverride{{Pool: "app", Name: "b"}: {Mode: state.ServerDrain}}
	if d := cmp.Diff(want, kept, cmpopts.EquateEmpty()); d != "" || err != nil {
		t.Errorf("kept %v (-want +got):\n%s", err, d)
	}
}

func TestServerWordThatIsRefused(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	a := []string{"app/a"}
	for name, tc := range map[string]struct {
		word api.ServerWord
		want string
	}{
		"no such server":  {api.ServerWord{Servers: []string{"app/aa"}, Mode: "up"}, `there is no server "app/aa" (did you mean app/a?): there are app/a, app/b`},
		"a pool":          {api.ServerWord{Servers: []string{"app"}, Mode: "up"}, `app is a pool: 'app/*' means all of its servers`},
		"no match":        {api.ServerWord{Servers: []string{"x*/*"}, Mode: "up"}, `no server's name matches "x*/*": there are app/a, app/b`},
		"no pattern":      {api.ServerWord{Servers: []string{"["}, Mode: "up"}, `"[" is no pattern of names`},
		"nobody":          {api.ServerWord{Mode: "up"}, "name the servers that are meant: there are app/a, app/b"},
		"nothing":         {api.ServerWord{Servers: a}, `"nothing" is no mode: there are up, drain, maint and auto`},
		"no such mode":    {api.ServerWord{Servers: a, Mode: "down"}, `"down" is no mode: there are up, drain, maint and auto`},
		"weight of drain": {api.ServerWord{Servers: a, Mode: "drain", Weight: 0.5}, "a server in drain has no weight"},
		"too much":        {api.ServerWord{Servers: a, Mode: "up", Weight: 11}, "11 is no part of a weight: above 0 and at most 10"},
		"less than none":  {api.ServerWord{Servers: a, Mode: "auto", Weight: -1}, "-1 is no part of a weight: above 0 and at most 10"},
		"time of auto":    {api.ServerWord{Servers: a, Mode: "auto", For: 5}, "to take back what was said takes no time"},
		"past":            {api.ServerWord{Servers: a, Mode: "up", For: -5}, "-5 seconds are no time for it: above 0 and at most 8760h0m0s"},
		"for ever":        {api.ServerWord{Servers: a, Mode: "up", For: 1e12}, "1e+12 seconds are no time for it: above 0 and at most 8760h0m0s"},
		"one of two":      {api.ServerWord{Servers: []string{"app/a", "mail/x"}, Mode: "up"}, `there is no server "mail/x": there are app/a, app/b`},
	} {
		_, err := r.client.Server(t.Context(), tc.word)
		var bad *api.FilterError
		if !errors.As(err, &bad) || bad.Text != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if _, err := os.Stat(serverOverridesFile(r.config)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was kept: %v", err)
	}
}

func TestServerWordIsMeantFor(t *testing.T) {
	for pattern, want := range map[string]int{"app/*": 2, "*/b": 1, "app/[ab]": 2, "a?p/a": 1} {
		r := newRig(t, nil)
		r.start()
		if got := r.sayOfServers(api.ServerWord{Servers: []string{pattern, pattern}, Mode: "maint"}).Servers; len(got) != want {
			t.Errorf("%s: %+v", pattern, got)
		}
	}
}

func TestDamagedServerOverridesArePutAside(t *testing.T) {
	for _, text := range []string{`{"app/a": {"mode": "dr`, `{"a": {"mode": "drain"}}`, `{"app/a": {"mode": "down"}}`} {
		r := newRig(t, nil)
		path := serverOverridesFile(r.config)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start()
		if aside, err := os.ReadFile(path + ".damaged"); err != nil || string(aside) != text {
			t.Errorf("put aside %q, %v", aside, err)
		}
		if st := r.status(); st.Servers[0].Override != nil {
			t.Errorf("%+v", st.Servers[0])
		}
	}
}
