// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// example is a status with something of everything in it.
func example() api.Status {
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	return api.Status{
		Name: "lb1", Version: "v0.1.0", PID: 4711, Started: before(26 * time.Hour), Ready: true,
		Forwarding: "ebpf", ForwardingNote: "this kernel has no IPVS",
		FlowTable: &api.FlowTable{Used: 12, Capacity: 524288, Memory: 56 << 20, Swept: before(time.Second), Took: 0.0031, Removed: 3},
		Config: api.Config{File: "/etc/maitred/maitred.yaml", Loaded: before(3 * time.Hour), Reload: &api.Reload{
			At: before(90 * time.Second), Errors: []string{"maitred.yaml:31: services[0].scheduler: no such thing"},
		}},
		Services: []api.Service{
			{Name: "shop", Mode: "sorry", Reason: "0 of 2 servers up, quorum 1", Since: before(42 * time.Second), Live: 0, Total: 2,
				Pool: "app", Method: "dr", Sched: "mh", Hash: "address", Page: "closed", Orphans: "reset", Budget: 11.35,
				Servers: []string{"a", "b"}, Engine: "ebpf", OnDown: "reset", Attached: []string{"eth0 xdp tc", "eth1 tc"}, Active: 0, Checks: []string{"web"},
				Quorum:   api.Quorum{Min: 1, Has: 0, Keep: 1, Reach: 1},
				Virtuals: []string{"192.0.2.10:80/tcp", "[2001:db8::10]:80/tcp"},
				Verdicts: map[string]api.Counter{"answer_last": {Packets: 812, Bytes: 90000}, "pass_served": {Packets: 5, Bytes: 400}}},
			{Name: "mail", Mode: "serve", Reason: "1 of 1 server up", Since: before(49 * time.Hour), Live: 1, Total: 1,
				Pool: "mx", Method: "tun", Tunnel: "gue", Sched: "rr", Orphans: "reset", Budget: 3.15, Virtuals: []string{"192.0.2.11:25/tcp"},
				Servers: []string{"m"}, Engine: "ebpf", OnDown: "repick", Attached: []string{"eth0 xdp tc", "eth1 tc"}, Active: 12, Checks: []string{"smtp"},
				Quorum: api.Quorum{Min: 1, Has: 1, Keep: 1, Reach: 1}},
		},
		Pages: []api.Page{
			{Name: "closed", Protocol: "http", Bytes: 3013, Variants: 4, Burst: 10, Memory: 4 * 199400, Services: []string{"shop"}},
			{Name: "mx", Protocol: "smtp", Bytes: 36, Burst: 1, Memory: 199400, Services: []string{"mail", "submission"}},
		},
		Servers: []api.Server{
			{Pool: "app", Name: "a", Address: "10.0.0.11", Verdict: "down", Reason: "web: connection refused", Since: before(42 * time.Second),
				Configured: 100, Probes: []api.ProbeKey{{Check: "web", Target: "10.0.0.11:80"}},
				Traffic: &api.Traffic{Flows: 90, Packets: 900, Bytes: 81000, Lost: 4}},
			{Pool: "app", Name: "b", Address: "10.0.0.12", Verdict: "drain", Reason: "web: status 500", Since: before(61 * time.Second),
				Configured: 50, UpWhen: "any(web, db)", UpNow: "any(web drain, db down)", Probes: []api.ProbeKey{{Check: "web", Target: "10.0.0.12:80"}}},
			{Pool: "mx", Name: "m", Address: "10.0.0.25", Port: 25, Verdict: "up", Weight: 25, Reason: "up with 50 % of its weight, by an operator; smtp: no connection", Since: before(49 * time.Hour),
				Configured: 100, UpWhen: "all(smtp)", UpNow: "all(smtp down)", Own: "down",
				Factors:  &api.Factors{Slow: 0.5, Operator: 0.5, Text: "100 x 50 % (slow start) x 50 % (operator)"},
				Override: &api.ServerOverride{Mode: "up", Weight: 0.5, Since: before(time.Hour), Until: now.Add(10 * time.Minute)},
				Probes:   []api.ProbeKey{{Check: "smtp", Target: "10.0.0.25:25"}},
				Traffic:  &api.Traffic{Active: 12, Flows: 1200, Packets: 50000, Bytes: 3500000}},
		},
		Probes: []api.Probe{
			{Check: "web", Target: "10.0.0.11:80", Status: "down", Runs: 900, Budget: 11.25, Since: before(42 * time.Second),
				Timing: api.Timing{Interval: 5, FastInterval: 1, Timeout: 2, Rise: 2, Fall: 3}, Fails: 7, Failures: 12,
				Last: &api.Result{At: before(2 * time.Second), Outcome: "fail", Class: "refused", RTT: 0.000412, Message: "connection refused"}},
			{Check: "web", Target: "10.0.0.12:80", Status: "falling", Runs: 900, Budget: 11.25, Since: before(50 * time.Hour),
				Timing: api.Timing{Interval: 5, FastInterval: 1, Timeout: 2, Rise: 2, Fall: 3}, Fails: 2, Failures: 2,
				Last: &api.Result{At: before(3 * time.Second), Outcome: "fail", Class: "status", RTT: 0.0012, Message: "status 500"}},
			{Check: "smtp", Target: "10.0.0.25:25", Status: "unknown", Budget: 3.05,
				Timing: api.Timing{Interval: 1, FastInterval: 1, Timeout: 1, Rise: 1, Fall: 2}},
		},
		Lateness: api.Lateness{P50: 0.0006, P99: 0.0146, Missed: 2},
		Targets: []api.Target{
			{Name: "maps", InSync: true, Rows: 4},
			{Name: "ipvs", Rows: 5, Repairs: 1, Errors: 3, LastError: "put service 192.0.2.10:80/tcp: no such module"},
		},
		Attachments: []api.Attachment{
			{Interface: "eth0", Index: 2, XDP: true, TC: true},
			{Interface: "eth1", Index: 3, TC: true, NoXDP: "create link: operation not supported"},
		},
		Verdicts: map[string]api.Counter{"answer_last": {Packets: 812, Bytes: 90000}, "pass_not_ip": {Packets: 7, Bytes: 420}},
		Notices:  []string{"no route leads to the server 10.0.0.11 of pool app"},
		Problems: []string{"list pinned links: permission denied"},
	}
}

func TestStatusText(t *testing.T) {
	e := fakeServer(t, fakeDaemon{status: example}, api.NewEvents())
	for _, tc := range []struct {
		golden string
		args   []string
		change func(*env)
	}{
		{"status.golden", []string{"status"}, func(*env) {}},
		{"status_wide.golden", []string{"status", "-o", "wide"}, func(*env) {}},
		{"status_colour.golden", []string{"status"}, func(e *env) { e.terminal = true }},
		{"status.golden", []string{"status"}, func(e *env) { e.terminal = true; e.vars["NO_COLOR"] = "1" }},
	} {
		t.Run(strings.Join(append(tc.args, tc.golden), " "), func(t *testing.T) {
			e := e
			tc.change(&e)
			got := run(t, e, tc.args...)
			if got.code != exitDone || got.stderr != "" {
				t.Errorf("exit %d, stderr %q", got.code, got.stderr)
			}
			golden(t, tc.golden, got.stdout)
		})
	}
}

func TestStatusJSONIsTheWholeAnswer(t *testing.T) {
	e := fakeServer(t, fakeDaemon{status: example}, api.NewEvents())
	got := run(t, e, "status", "-o", "json")
	var st api.Status
	if err := json.Unmarshal([]byte(got.stdout), &st); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(example(), st); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	golden(t, "status_json.golden", got.stdout) // the names are an interface
}

func TestStatusWait(t *testing.T) {
	t.Run("comes", func(t *testing.T) {
		var asked atomic.Int32
		late := func() api.Status { return api.Status{Name: "lb1", Ready: asked.Add(1) > 1, InSync: asked.Load() > 2} }
		e := fakeServer(t, fakeDaemon{status: late}, api.NewEvents())
		if got := run(t, e, "status", "--wait", "30s"); got.code != exitDone || asked.Load() != 3 {
			t.Errorf("%+v after %d questions", got, asked.Load())
		}
	})
	for _, tc := range []struct {
		name string
		env  func(t *testing.T) env
		want string
	}{
		{"not decided", func(t *testing.T) env {
			pending := func() api.Status {
				return api.Status{Services: []api.Service{{Name: "shop", Mode: "pending"}, {Name: "mail", Mode: "serve"}}}
			}
			return fakeServer(t, fakeDaemon{status: pending}, api.NewEvents())
		}, "not ready after 150ms: not yet decided: shop"},
		{"kernel does not agree", func(t *testing.T) env { return fakeServer(t, fakeDaemon{status: example}, api.NewEvents()) },
			"not in sync after 150ms: the kernel does not agree: ipvs: put service 192.0.2.10:80/tcp: no such module: see maitred status"},
		{"no daemon", func(*testing.T) env { return env{vars: map[string]string{"MAITRED_SOCKET": "/nowhere/m.sock"}} },
			"not ready after 150ms: no daemon answers on /nowhere/m.sock: start it with maitred run"},
		{"another error", func(t *testing.T) env {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return env{vars: map[string]string{"MAITRED_SOCKET": file + "/m.sock"}}
		}, "not a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, tc.env(t), "status", "--wait", "150ms")
			if got.code != exitNotSeen || !strings.Contains(got.stderr, tc.want) {
				t.Errorf("%+v, want exit %d and %q", got, exitNotSeen, tc.want)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e := env{vars: map[string]string{"MAITRED_SOCKET": "/nowhere/m.sock"}}
		for _, args := range [][]string{{"status", "--wait", "30s"}, {"status"}, {"reload"}} {
			if got := runContext(ctx, e, args...); got != (outcome{exitFailed, "", "maitred: interrupted\n"}) {
				t.Errorf("%v: %+v", args, got)
			}
		}
	})
}

func TestReadiness(t *testing.T) {
	good, bad := api.Target{Name: "maps", InSync: true}, api.Target{Name: "attachments", LastError: "attach to eth9: no such device"}
	for _, tc := range []struct {
		name, want string
		status     api.Status
	}{
		{"well", ", ready\n", api.Status{Ready: true, InSync: true, Targets: []api.Target{good}}},
		{"kernel fails", ", ready, but the kernel does not agree: attachments: attach to eth9: no such device\n",
			api.Status{Ready: true, Targets: []api.Target{good, bad}}},
		{"pending", ", not ready\n", api.Status{InSync: true, Targets: []api.Target{good}}},
		{"pending and kernel fails", ", not ready, and the kernel does not agree: attachments: attach to eth9: no such device\n",
			api.Status{Targets: []api.Target{good, bad}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := fakeServer(t, fakeDaemon{status: func() api.Status { return tc.status }}, api.NewEvents())
			got := run(t, e, "status")
			if head, _, _ := strings.Cut(got.stdout, "\n"); !strings.HasSuffix(head+"\n", tc.want) {
				t.Errorf("%q, want it to end in %q", head, tc.want)
			}
		})
	}
}
