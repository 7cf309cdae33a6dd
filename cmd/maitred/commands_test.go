// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

func TestValidate(t *testing.T) {
	good := run(t, env{}, "validate", "testdata/good.yaml")
	want := outcome{exitDone, "testdata/good.yaml is good: 1 service, 1 pool, 2 servers, 1 check, pages closed, default, busy\n", ""}
	if good != want {
		t.Errorf("good: %+v, want %+v", good, want)
	}
	byFlag := run(t, env{}, "validate", "--config", "testdata/good.yaml")
	byVar := run(t, env{vars: map[string]string{"MAITRED_CONFIG": "testdata/good.yaml"}}, "validate")
	if byFlag != want || byVar != want {
		t.Errorf("by flag %+v, by variable %+v, want %+v", byFlag, byVar, want)
	}
}

func TestNotesOnPages(t *testing.T) {
	file := t.TempDir() + "/m.yaml"
	text := "director: {interfaces: [eth0]}\npools: [{name: app, servers: [{address: 10.0.0.1}]}]\n" +
		"services: [{name: shop, addresses: [192.0.2.1], ports: [80], pool: app}]\n" +
		"pages: [{name: default, body: " + strings.Repeat("x", config.LongPage) + "}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"validate", file}, "note: " + file + `:4: pages[0].body: page "default" has 20171 bytes: above 20000 `},
		{[]string{"page", "show", "default", "--config", file}, "note: 20171 bytes are many: above 20000 "},
	} {
		if got := run(t, env{}, tc.args...); got.code != exitDone || !strings.HasPrefix(got.stderr, tc.want) || got.stdout == "" {
			t.Errorf("%v: exit %d, stderr %q, want %q", tc.args, got.code, got.stderr, tc.want)
		}
	}
}

func TestValidateTellsAllMistakesAtOnce(t *testing.T) {
	got := run(t, env{}, "validate", "testdata/bad.yaml")
	if got.code != exitFailed || got.stdout != "" {
		t.Errorf("exit %d, stdout %q", got.code, got.stdout)
	}
	golden(t, "bad.golden", got.stderr)
	if n := strings.Count(got.stderr, "testdata/bad.yaml:"); n < 2 {
		t.Errorf("%d mistakes named with their line, want all", n)
	}
}

func TestRunNeedsAGoodConfiguration(t *testing.T) {
	got := run(t, env{}, "run", "--config", "testdata/bad.yaml")
	if got.code != exitFailed || !strings.Contains(got.stderr, "testdata/bad.yaml:") {
		t.Errorf("%+v", got)
	}
}

func TestReloadCommand(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer api.Reload
		want   outcome
	}{
		{"taken", api.Reload{OK: true}, outcome{exitDone, "the configuration is in force\n", ""}},
		{"not in the kernel", api.Reload{OK: true, Kernel: []string{"attachments: attach to eth9: no such device", "addresses: held back until that holds"}},
			outcome{exitNotSeen, "", "maitred: the configuration was accepted, but the kernel does not agree yet: " +
				"attachments: attach to eth9: no such device; addresses: held back until that holds: see maitred status\n"}},
		{"refused", api.Reload{Errors: []string{"m.yaml:3: a: is not right", "m.yaml:4: b: nor is this"}}, outcome{exitFailed, "",
			"m.yaml:3: a: is not right\nm.yaml:4: b: nor is this\n" +
				"maitred: the configuration was refused, the one before stays in force: correct it and reload again\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := fakeServer(t, fakeDaemon{reload: tc.answer}, api.NewEvents())
			if got := run(t, e, "reload"); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// The tests run as root, who may do all: so the error is made up.
func TestRemedyOfNoRight(t *testing.T) {
	err := remedy(fmt.Errorf("ask /run/m.sock: %w", syscall.EACCES))
	if want := "ask /run/m.sock: permission denied: only the daemon's user and group may speak to it"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestEvents(t *testing.T) {
	t.Setenv("TZ", "UTC")
	events := api.NewEvents()
	events.Publish(api.Event{At: now, Kind: "config", Name: "lb1", From: "nothing", To: "1 service", Reason: "configuration loaded"})
	events.Publish(api.Event{At: now, Kind: "service", Name: "shop", From: "serve", To: "sorry", Reason: "0 of 2 servers up, quorum 1"})
	events.Publish(api.Event{At: now, Kind: "drift", Name: "ipvs", Reason: "put service 192.0.2.10:80/tcp"})
	e := fakeServer(t, fakeDaemon{}, events)
	stamp := now.Local().Format("2006-01-02 15:04:05")
	want := stamp + " service shop serve -> sorry: 0 of 2 servers up, quorum 1\n" +
		stamp + " drift ipvs: put service 192.0.2.10:80/tcp\n"
	if got := run(t, e, "events", "-n", "2"); got != (outcome{exitDone, want, ""}) {
		t.Errorf("got %+v, want %q", got, want)
	}
	got := run(t, e, "events", "-o", "json", "--since", "2")
	var event api.Event
	if err := json.Unmarshal([]byte(got.stdout), &event); err != nil || event.Seq != 3 {
		t.Errorf("json %q: event %d, %v", got.stdout, event.Seq, err)
	}
	e.terminal = true
	if got := run(t, e, "events", "-n", "2"); !strings.Contains(got.stdout, "\x1b[31msorry\x1b[0m") {
		t.Errorf("no colour on a terminal: %q", got.stdout)
	}
}

func TestEventsFollowUntilInterrupted(t *testing.T) {
	events := api.NewEvents()
	e := fakeServer(t, fakeDaemon{}, events)
	ctx, cancel := context.WithCancel(t.Context())
	out := newCatcher("second")
	done := make(chan int, 1)
	go func() {
		done <- Execute(ctx, Env{Args: []string{"events", "-f"}, Stdin: strings.NewReader(""), Stdout: out, Stderr: out,
			Getenv: func(k string) string { return e.vars[k] }, Now: time.Now})
	}()
	events.Publish(api.Event{At: now, Kind: "server", Name: "first"})
	events.Publish(api.Event{At: now, Kind: "server", Name: "second"})
	<-out.caught
	cancel()
	if code := <-done; code != exitDone {
		t.Errorf("exit %d after an interrupt, want 0", code)
	}
}

// catcher is a writer that tells when a word has come by.
type catcher struct {
	word   string
	seen   bytes.Buffer
	caught chan struct{}
}

func newCatcher(word string) *catcher { return &catcher{word: word, caught: make(chan struct{})} }

func (c *catcher) Write(p []byte) (int, error) {
	before := strings.Contains(c.seen.String(), c.word)
	c.seen.Write(p)
	if !before && strings.Contains(c.seen.String(), c.word) {
		close(c.caught)
	}
	return len(p), nil
}

func TestPageShow(t *testing.T) {
	got := run(t, env{}, "page", "show", "closed", "--config", "testdata/good.yaml")
	if got.code != exitDone || got.stderr != "" {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	golden(t, "page.golden", got.stdout)
}

func TestPageShowRawIsTheResponseAndNothingElse(t *testing.T) {
	cfg, err := config.Load("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	page, _ := cfg.Page("closed")
	want := outcome{exitDone, string(page.Image.Response), ""}
	if got := run(t, env{}, "page", "show", "closed", "--raw", "--config", "testdata/good.yaml"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPageShowNamesThePagesThatThereAre(t *testing.T) {
	got := run(t, env{}, "page", "show", "clsoed", "--config", "testdata/good.yaml")
	if got.code != exitUsage || !strings.Contains(got.stderr, "(did you mean closed?): it has closed, default") {
		t.Errorf("%+v", got)
	}
}

func TestMayRun(t *testing.T) {
	const all = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_NET_RAW
	for _, tc := range []struct {
		name string
		set  uint64
		want string // empty: no error
	}{
		{"all", all, ""},
		{"none", 0, "needs CAP_NET_ADMIN to change IPVS, addresses and programs on interfaces, CAP_BPF to "},
		{"without BPF", all &^ (1 << unix.CAP_BPF), "needs CAP_BPF to load the sorry engine: run"},
		{"CAP_SYS_ADMIN instead of BPF and PERFMON", 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SYS_ADMIN, ""},
		{"CAP_SYS_ADMIN alone", 1 << unix.CAP_SYS_ADMIN, "on interfaces, CAP_NET_RAW to announce addresses: run"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := mayRun(tc.set)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("error %v, want none", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestDemoConfigIsGood(t *testing.T) {
	path := t.TempDir() + "/demo.yaml"
	text := demoYAML(config.ForwardingEBPF, "/sys/fs/bpf/x", "10.0.1.2", "10.0.2.2", "198.51.100.10", "/run/x.sock")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"shop"}, []string{cfg.Services[0].Name}); d != "" || cfg.Director.OnStop != config.OnStopWithdraw {
		t.Errorf("%+v", cfg)
	}
}
