// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func TestServerCommands(t *testing.T) {
	drained := api.ServerSaidOf{Name: "app/a", Verdict: "drain", Reason: "drain, by an operator; all checks pass", Changed: true}
	again := drained
	again.Changed = false
	for _, tc := range []struct {
		name string
		args string
		word api.ServerWord
		said api.ServerSaid
		want outcome
	}{
		{"drain", "drain app/a app/b* --for 10m", api.ServerWord{Servers: []string{"app/a", "app/b*"}, Mode: "drain", For: 600},
			api.ServerSaid{Servers: []api.ServerSaidOf{drained}},
			outcome{exitDone, "app/a: drain, weight 0, in force: drain, by an operator; all checks pass\n", ""}},
		{"again", "drain app/a", api.ServerWord{Servers: []string{"app/a"}, Mode: "drain"}, api.ServerSaid{Servers: []api.ServerSaidOf{again}},
			outcome{exitDone, "app/a: drain, weight 0, in force, as was said before: drain, by an operator; all checks pass\n", ""}},
		{"maint", "maint app/a", api.ServerWord{Servers: []string{"app/a"}, Mode: "maint"}, api.ServerSaid{}, outcome{exitDone, "", ""}},
		{"up", "up app/a --weight 50%", api.ServerWord{Servers: []string{"app/a"}, Mode: "up", Weight: 0.5}, api.ServerSaid{}, outcome{exitDone, "", ""}},
		{"auto", "auto app/a --weight 150% --for 30s", api.ServerWord{Servers: []string{"app/a"}, Mode: "auto", Weight: 1.5, For: 30}, api.ServerSaid{}, outcome{exitDone, "", ""}},
		{"kernel", "drain app/a", api.ServerWord{Servers: []string{"app/a"}, Mode: "drain"}, api.ServerSaid{Servers: []api.ServerSaidOf{drained}, Kernel: []string{"ipvs: no"}},
			outcome{exitNotSeen, "app/a: drain, weight 0: drain, by an operator; all checks pass\n",
				"maitred: it is decided, but the kernel does not agree yet: ipvs: no: see maitred status\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var heard api.ServerWord
			e := fakeServer(t, fakeDaemon{server: func(w api.ServerWord) (api.ServerSaid, error) { heard = w; return tc.said, nil }}, api.NewEvents())
			if got := run(t, e, append([]string{"server"}, strings.Fields(tc.args)...)...); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if d := cmp.Diff(tc.word, heard); d != "" {
				t.Errorf("word (-want +got):\n%s", d)
			}
		})
	}
}

func TestUsageOfServer(t *testing.T) {
	for args, want := range map[string]string{
		"drain":               "maitred server drain takes names of servers, as POOL/SERVER: see",
		"drain a --weight 5%": "unknown flag: --weight",
		"up a --weight 0%":    `--weight takes a part of the weight, above 0% and at most 1000%, as in "50%", not "0%"`,
		"up a --weight half":  `not "half"`,
		"up a --for 5":        `--for takes a duration, such as 500ms, 5s or 2m, not "5"`,
		"up a --for -5s":      "--for -5s lies in the past",
		"status app/a":        `maitred server status takes no argument, such as "app/a": see`,
		"status -o yaml":      "the formats are table, json",
		"darin app/a":         `unknown command "darin" for "maitred server" (did you mean drain?)`,
	} {
		if got := run(t, env{}, append([]string{"server"}, strings.Fields(args)...)...); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%q: %+v, want %q", args, got, want)
		}
	}
	refused := fakeDaemon{server: func(api.ServerWord) (api.ServerSaid, error) {
		return api.ServerSaid{}, &api.FilterError{Text: "app is a pool"}
	}}
	if got := run(t, fakeServer(t, refused, api.NewEvents()), "server", "up", "app"); got.code != exitUsage || !strings.Contains(got.stderr, "app is a pool") {
		t.Errorf("%+v", got)
	}
}

func TestServerStatus(t *testing.T) {
	e := fakeServer(t, fakeDaemon{status: example}, api.NewEvents())
	got := run(t, e, "server", "status")
	want := "SERVER  VERDICT  WEIGHT  SAID                         SINCE  ENDS IN  CHECKS SAY\n" +
		"mx/m    up       25      up with 50 % of its weight  1h0m   10m0s    down\n"
	if got.code != exitDone || strings.Join(strings.Fields(got.stdout), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%+v", got)
	}
	var servers []api.Server
	if err := json.Unmarshal([]byte(run(t, e, "server", "status", "-o", "json").stdout), &servers); err != nil || len(servers) != 1 {
		t.Errorf("%+v, %v", servers, err)
	}
	nothing := fakeServer(t, fakeDaemon{status: func() api.Status { return api.Status{} }}, api.NewEvents())
	if got := run(t, nothing, "server", "status"); got.stdout != "nothing was said: checks decide on all servers\n" {
		t.Errorf("%+v", got)
	}
}

// TestGuardInStatus: whoever looks is told that switching is frozen.
func TestGuardInStatus(t *testing.T) {
	st := example()
	st.Servers[0].Held, st.Servers[0].Verdict, st.Servers[0].Own = true, "up", "down"
	st.Guard = &api.Guard{Since: now.Add(-time.Minute), Until: now.Add(4 * time.Minute), Reason: "3 of 4 servers went down", Held: []string{"app/a"}}
	e := fakeServer(t, fakeDaemon{status: func() api.Status { return st }}, api.NewEvents())
	const want = "switching is frozen for 1m0s, 4m0s more at most: 3 of 4 servers went down; held as they were: app/a\n"
	if got := run(t, e, "status"); !strings.Contains(got.stdout, want) {
		t.Errorf("%s", got.stdout)
	}
	const held = "  guard     held as it was, its checks say down: switching is frozen, see maitred status\n"
	if got := run(t, e, "explain", "app/a"); !strings.Contains(got.stdout, held) {
		t.Errorf("%s", got.stdout)
	}
}
