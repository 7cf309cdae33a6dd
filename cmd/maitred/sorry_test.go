// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func TestSorryCommands(t *testing.T) {
	on := api.SaidOf{Name: "shop", Mode: "sorry", Page: "closed", Reason: "sorry on with page closed, by an operator; 2 of 2 servers up", Changed: true}
	const reason = ": sorry on with page closed, by an operator; 2 of 2 servers up\n"
	again, pending := on, api.SaidOf{Name: "mail/ipv4", Mode: "pending", Reason: "no result yet", Changed: true}
	again.Changed = false
	for _, tc := range []struct {
		name string
		args string
		word api.Word
		said api.Said
		want outcome
	}{
		{"on", "on shop mail-* --page closed", api.Word{Services: []string{"shop", "mail-*"}, Mode: "on", Page: "closed"},
			api.Said{Services: []api.SaidOf{on}}, outcome{exitDone, "shop: sorry with page closed, in force" + reason, ""}},
		{"again", "on shop", api.Word{Services: []string{"shop"}, Mode: "on"}, api.Said{Services: []api.SaidOf{again}},
			outcome{exitDone, "shop: sorry with page closed, in force, as was said before" + reason, ""}},
		{"no page", "on mail", api.Word{Services: []string{"mail"}, Mode: "on"},
			api.Said{Services: []api.SaidOf{{Name: "mail", Mode: "sorry", Reason: "sorry on, by an operator", Changed: true}}},
			outcome{exitDone, "mail: sorry without a page, so that clients are refused: --page names one, in force: sorry on, by an operator\n", ""}},
		{"left", "on --all --page closed", api.Word{All: true, Mode: "on", Page: "closed"},
			api.Said{Services: []api.SaidOf{on}, Left: []api.Left{{Name: "names", Reason: "it is of udp, and cannot show page closed, of protocol http"}}},
			outcome{exitDone, "shop: sorry with page closed, in force" + reason + "names: left as it is: it is of udp, and cannot show page closed, of protocol http\n", ""}},
		{"off", "off --all", api.Word{All: true, Mode: "off"}, api.Said{}, outcome{exitDone, "", ""}},
		{"auto", "auto mail", api.Word{Services: []string{"mail"}, Mode: "auto"}, api.Said{Services: []api.SaidOf{pending}},
			outcome{exitDone, "mail/ipv4: pending, the kernel goes on as before: no result yet\n", ""}},
		{"shed", "shed 12.5% shop --page closed", api.Word{Services: []string{"shop"}, Mode: "shed", Fraction: 0.125, Page: "closed"}, api.Said{}, outcome{exitDone, "", ""}},
		{"kernel", "on shop", api.Word{Services: []string{"shop"}, Mode: "on"}, api.Said{Services: []api.SaidOf{on}, Kernel: []string{"maps: no room", "ipvs: held back"}},
			outcome{exitNotSeen, "shop: sorry with page closed" + reason,
				"maitred: it is decided, but the kernel does not agree yet: maps: no room; ipvs: held back: see maitred status\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var heard api.Word
			e := fakeServer(t, fakeDaemon{sorry: func(w api.Word) (api.Said, error) { heard = w; return tc.said, nil }}, api.NewEvents())
			if got := run(t, e, append([]string{"sorry"}, strings.Fields(tc.args)...)...); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if d := cmp.Diff(tc.word, heard); d != "" {
				t.Errorf("word (-want +got):\n%s", d)
			}
		})
	}
}

func TestSorryThatIsRefused(t *testing.T) {
	for text, tc := range map[string]struct {
		err  error
		code int
	}{
		"there is no service \"x\"": {&api.FilterError{Text: "there is no service \"x\""}, exitUsage},
		"disk full":                 {errors.New("disk full"), exitFailed},
	} {
		e := fakeServer(t, fakeDaemon{sorry: func(api.Word) (api.Said, error) { return api.Said{}, tc.err }}, api.NewEvents())
		if got := run(t, e, "sorry", "on", "x"); got.code != tc.code || !strings.Contains(got.stderr, text) {
			t.Errorf("%+v, want exit %d and %q", got, tc.code, text)
		}
	}
}

func TestUsageOfSorry(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "",
		"on":                  "maitred sorry on takes names of services, or --all: see",
		"auto":                "maitred sorry auto takes names of services, or --all: see",
		"on shop --all":       `--all means all services, "shop" among them: leave one of the two out: see`,
		"off shop --page x":   "unknown flag: --page",
		"shed":                "maitred sorry shed takes the part of the new clients that is turned away, as in 20%: see",
		"shed 20%":            "maitred sorry shed takes names of services, or --all: see",
		"shed shop":           `"shop" is no part of the clients: above 0% and at most 100%, as in "30%": see`,
		"shed 0.2 shop":       `"0.2" is no part of the clients`,
		"status shop":         `maitred sorry status takes no argument, such as "shop": see`,
		"status -o yaml":      "the formats are table, json",
		"no shop":             `unknown command "no" for "maitred sorry" (did you mean on?)`,
		"on shop --socket /x": "start it with maitred run",
	} {
		got := run(t, env{}, append([]string{"sorry"}, strings.Fields(args)...)...)
		code := exitUsage
		switch {
		case want == "":
			code = exitDone // and its help
		case strings.Contains(args, "--socket"):
			code = exitFailed
		}
		if got.code != code || !strings.Contains(got.stderr, want) {
			t.Errorf("%q: %+v, want %q", args, got, want)
		}
	}
}

// spoken is a status after some words.
func spoken() api.Status {
	st := example()
	st.Services[0].Override = &api.Override{Mode: "on", Page: "works", Since: now.Add(-time.Hour)}
	st.Services[0].Page, st.Services[0].Reason = "works", "sorry on with page works, by an operator; 0 of 2 servers up, quorum 1"
	st.Services[0].Backup = "spare"
	shedding := st.Services[1]
	shedding.Name, shedding.Mode, shedding.Page = "web/ipv4", "shed", "busy"
	shedding.Reason = "shedding 30 %: 12000 connections, limit 10000; 1 of 1 server up"
	shedding.Shed = &api.Shedding{Fraction: 0.3, TurnedAway: 300, Admitted: 700}
	st.Services = append(st.Services, shedding)
	return st
}

func TestSorryStatus(t *testing.T) {
	e := fakeServer(t, fakeDaemon{status: spoken}, api.NewEvents())
	got := run(t, e, "sorry", "status")
	if got.code != exitDone {
		t.Errorf("%+v", got)
	}
	golden(t, "sorry_status.golden", got.stdout)
	var services []api.Service
	if err := json.Unmarshal([]byte(run(t, e, "sorry", "status", "-o", "json").stdout), &services); err != nil || len(services) != 2 {
		t.Errorf("%d services, %v", len(services), err)
	}
	e = fakeServer(t, fakeDaemon{status: func() api.Status { return api.Status{} }}, api.NewEvents())
	if got := run(t, e, "sorry", "status"); got.stdout != "nothing was said: servers and load decide on all services\n" {
		t.Errorf("%+v", got)
	}
}

func TestExplainTellsWhatWasSaid(t *testing.T) {
	t.Setenv("TZ", "UTC")
	e := fakeServer(t, fakeDaemon{status: spoken}, api.NewEvents())
	for name, want := range map[string][]string{
		"shop": {"said      sorry on with page works, by an operator, for 1h0m: maitred sorry auto takes it back\n", "reserve   pool spare serves while"},
		"web":  {"sheds     30 % of the new connections get page busy; 300 turned away, 700 admitted\n"},
	} {
		got := run(t, e, "explain", name)
		for _, line := range want {
			if !strings.Contains(got.stdout, line) {
				t.Errorf("no %q in\n%s%s", line, got.stdout, got.stderr)
			}
		}
	}
}

func TestCompletionOfSorry(t *testing.T) {
	st := spoken()
	e := fakeServer(t, fakeDaemon{status: func() api.Status { return st }}, api.NewEvents())
	for args, want := range map[string]string{
		"on|":              "shop\nmail\nweb\n",
		"on|shop|":         "mail\nweb\n",
		"shed|":            "",
		"shed|20%|":        "shop\nmail\nweb\n",
		"on|shop|--page|":  "closed\ndefault\nbusy\n",
		"status|--output|": "table\njson\n",
	} {
		got := run(t, e, append([]string{"__complete", "sorry"}, strings.Split(args, "|")...)...)
		if names, _, _ := strings.Cut(got.stdout, ":"); names != want {
			t.Errorf("%s: %q, want %q", args, names, want)
		}
	}
}
