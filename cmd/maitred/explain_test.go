// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// explained is a daemon with something to explain.
func explained(t *testing.T) env {
	t.Setenv("TZ", "UTC")
	events := api.NewEvents()
	for _, e := range []api.Event{
		{Kind: "config", Name: "shop", Reason: "configuration loaded"}, // a director of that name
		{Kind: "server", Name: "app/a", From: "up", To: "down", Reason: "web: connection refused"},
		{Kind: "server", Name: "mx/m", From: "unknown", To: "up", Reason: "all checks pass"},
		{Kind: "service", Name: "shop", From: "serve", To: "sorry", Reason: "0 of 2 servers up, quorum 1"},
	} {
		e.At = now.Add(-42 * time.Second)
		events.Publish(e)
	}
	return fakeServer(t, fakeDaemon{
		status: example, ring: api.Ring{Slots: 3, Servers: []api.RingShare{{Server: "app/a", Slots: 2}, {Server: "app/b", Slots: 1}}},
	}, events)
}

func TestExplain(t *testing.T) {
	defer func(was *time.Location) { time.Local = was }(time.Local)
	time.Local = time.UTC
	e := explained(t)
	for _, tc := range []struct{ golden, name string }{
		{"explain_service.golden", "shop"},
		{"explain_server.golden", "mx/m"},
		{"explain_check.golden", "web"},
	} {
		got := run(t, e, "explain", tc.name)
		if got.code != exitDone || got.stderr != "" {
			t.Errorf("%s: exit %d, stderr %q", tc.name, got.code, got.stderr)
		}
		golden(t, tc.golden, got.stdout)
	}
}

func TestExplainJSON(t *testing.T) {
	got := run(t, explained(t), "explain", "shop", "-o", "json")
	var e explanation
	if err := json.Unmarshal([]byte(got.stdout), &e); err != nil || len(e.Services) != 1 {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	s := e.Services[0]
	if s.Mode != "sorry" || len(s.Members) != 2 || len(s.Members[0].Results) != 1 || s.Ring == nil || s.Ring.Slots != 3 || len(s.Events) != 2 {
		t.Errorf("%+v", s)
	}
}

// TestExplainPending tells of no ring while the kernel goes on with one of before.
func TestExplainPending(t *testing.T) {
	st := example()
	st.Services = []api.Service{{Name: "shop", Mode: "pending", Engine: "ebpf"}}
	got := run(t, fakeServer(t, fakeDaemon{status: func() api.Status { return st }}, api.NewEvents()), "explain", "shop")
	if got.code != exitDone || strings.Contains(got.stdout, "slots") {
		t.Errorf("%+v", got)
	}
}

func TestExplainWhatThereIsNot(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"shpo"}, exitUsage, `nothing is called "shpo" (did you mean shop?): there are shop, mail, app/a, app/b, mx/m, smtp, web`},
		{nil, exitUsage, "takes one name: a service, a server as POOL/NAME, or a check"},
		{[]string{"shop", "-o", "yaml"}, exitUsage, "the formats are text, json"},
	} {
		got := run(t, explained(t), append([]string{"explain"}, tc.args...)...)
		if got.code != tc.code || !strings.Contains(got.stderr, tc.want) || got.stdout != "" {
			t.Errorf("%v: %+v, want exit %d and %q", tc.args, got, tc.code, tc.want)
		}
	}
	if got := run(t, env{}, "explain", "shop", "--socket", "/nowhere/m.sock"); got.code != exitFailed || !strings.Contains(got.stderr, "start it with") {
		t.Errorf("no daemon: %+v", got)
	}
}

func TestExplainFindsBothFamilies(t *testing.T) {
	st := api.Status{Services: []api.Service{{Name: "shop/ipv4"}, {Name: "shop/ipv6"}, {Name: "shopping"}}}
	for name, want := range map[string]int{"shop": 2, "shop/ipv6": 1, "shopping": 1, "ipv6": 0} {
		if got := len(explainStatus(st, nil, name).Services); got != want {
			t.Errorf("%s: %d services, want %d", name, got, want)
		}
	}
}

func TestEventsOfAreTheLast(t *testing.T) {
	var events []api.Event
	for i := range 2 * lastEvents {
		events = append(events, api.Event{Kind: "server", Name: "app/a", Seq: uint64(i)})
	}
	if got := eventsOf(events, "app/a"); len(got) != lastEvents || got[0].Seq != lastEvents {
		t.Errorf("%+v", got)
	}
}

func TestEventsOfLeaveStepsOut(t *testing.T) {
	up := api.Event{Kind: "server", Name: "app/a", From: "down", To: "up"}
	step := api.Event{Kind: "server", Name: "app/a", From: "weight 1", To: "weight 2", Step: true}
	if got := eventsOf([]api.Event{up, step, step}, "app/a"); !slices.Equal(got, []api.Event{up}) {
		t.Errorf("%+v", got)
	}
}

func TestBudgetText(t *testing.T) {
	timing := api.Timing{Interval: 5, FastInterval: 1, Timeout: 2, Rise: 2, Fall: 3}
	for _, tc := range []struct {
		name  string
		probe api.Probe
		want  string
	}{
		{"alone", api.Probe{Budget: 11.25, Timing: timing},
			"interval 5s + jitter 250ms + 2 x 2s (the longer of fast_interval 1s and timeout 2s) + timeout 2s"},
		{"in a line", api.Probe{Budget: 14.25, Timing: timing},
			"interval 5s + jitter 250ms + 2 x 2s (the longer of fast_interval 1s and timeout 2s) + timeout 2s + 3s behind other checks of the target"},
		{"one failure", api.Probe{Budget: 2.05, Timing: api.Timing{Interval: 1, FastInterval: 1, Timeout: 1, Fall: 1}},
			"interval 1s + jitter 50ms + timeout 1s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := budgetText(tc.probe); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestPlaceText(t *testing.T) {
	for _, tc := range []struct {
		at     api.Attachment
		engine string
		want   string
	}{
		{api.Attachment{Interface: "eth0", XDP: true, TC: true}, "ebpf", "eth0: XDP forwards and says sorry, tc does what XDP cannot"},
		{api.Attachment{Interface: "eth0", TC: true, NoXDP: "it is a veth"}, "ebpf", "eth0: tc forwards and says sorry; no XDP: it is a veth"},
		{api.Attachment{Interface: "eth0", TC: true}, "ipvs", "eth0: tc says sorry; XDP is not asked for"},
		{api.Attachment{Interface: "eth0"}, "ipvs", "eth0: nothing, as yet"},
	} {
		if got := placeText(tc.at, tc.engine); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestOutageAndRingText(t *testing.T) {
	for want, s := range map[string]api.Service{
		"no page: clients are refused":                                                  {},
		"page closed, 1 answer so far; connections from before are dropped":             {Page: "closed", Orphans: "drop", Verdicts: map[string]api.Counter{"answer_syn": {Packets: 1}}},
		"page closed, 0 answers so far; connections from before go on to their servers": {Page: "closed", Orphans: "pass"},
	} {
		if got := outageText(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := ringText(api.Ring{}, 1); !strings.Contains(got, "no slots") {
		t.Errorf("%q", got)
	}
}

// TestExplainReserve: a server in reserve is of the services that it serves for.
func TestExplainReserve(t *testing.T) {
	st := api.Status{
		Services: []api.Service{{Name: "shop", Pool: "app", Servers: []string{"a"}, Backup: "spare"}, {Name: "mail", Pool: "app", Servers: []string{"a"}}},
		Servers:  []api.Server{{Pool: "spare", Name: "s"}},
	}
	e := explainStatus(st, nil, "spare/s")
	if len(e.Servers) != 1 || !slices.Equal(e.Servers[0].Services, []string{"shop (in reserve)"}) {
		t.Errorf("spare/s is explained as %+v", e.Servers)
	}
}

// TestEventText: what is said anew of a service leads from no mode to another.
func TestEventText(t *testing.T) {
	a := &app{}
	for want, e := range map[string]api.Event{
		"shop serve -> sorry: sorry on": {Name: "shop", From: "serve", To: "sorry", Reason: "sorry on"},
		"shop: sorry on with page b":    {Name: "shop", Reason: "sorry on with page b"},
	} {
		if got := a.eventText(e); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
