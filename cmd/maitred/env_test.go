// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/maitred-lb/maitred/controlplane/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// now is when tests take place.
var now = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// outcome is what a command did.
type outcome struct {
	code           int
	stdout, stderr string
}

// env is the environment of a command under test.
type env struct {
	vars     map[string]string
	terminal bool
}

func run(t *testing.T, e env, args ...string) outcome {
	t.Helper()
	return runContext(t.Context(), e, args...)
}

func runContext(ctx context.Context, e env, args ...string) outcome {
	var out, err bytes.Buffer
	code := Execute(ctx, Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err,
		Getenv: func(k string) string { return e.vars[k] }, Now: func() time.Time { return now }, Terminal: e.terminal,
	})
	return outcome{code, out.String(), err.String()}
}

// golden compares text with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// fakeDaemon answers what it is given.
type fakeDaemon struct {
	status      func() api.Status
	reload      api.Reload
	connections func(f api.Filter, yield func(api.Connection) error) error
	ring        api.Ring
	sorry       func(w api.Word) (api.Said, error)
	server      func(w api.ServerWord) (api.ServerSaid, error)
}

func (d fakeDaemon) Server(_ context.Context, w api.ServerWord) (api.ServerSaid, error) {
	return d.server(w)
}

func (d fakeDaemon) Push(_ context.Context, p api.Push) (api.Pushed, error) {
	if p.Check != "job" {
		return api.Pushed{}, &api.FilterError{Text: "there is no check of type push named " + p.Check}
	}
	return api.Pushed{Probes: []api.ProbeKey{{Check: p.Check, Target: p.Server + fmt.Sprintf(" %s %d%% %gs %s", p.Outcome, p.Percent, p.Seconds, p.Message)}}}, nil
}

func (d fakeDaemon) Sorry(_ context.Context, w api.Word) (api.Said, error) { return d.sorry(w) }

func (d fakeDaemon) Status(context.Context) api.Status { return d.status() }
func (d fakeDaemon) Reload(context.Context) api.Reload { return d.reload }

func (d fakeDaemon) Ring(context.Context, string) (api.Ring, error) { return d.ring, nil }

func (d fakeDaemon) Connections(_ context.Context, f api.Filter, yield func(api.Connection) error) error {
	return d.connections(f, yield)
}

// fakeServer serves d on a socket until the test ends, and returns an environment
// whose commands speak to it.
func fakeServer(t *testing.T, d fakeDaemon, events *api.Events) env {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "m.sock")
	endpoint, err := api.Listen(socket, d, events, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- endpoint.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return env{vars: map[string]string{"MAITRED_SOCKET": socket, "MAITRED_CONFIG": "testdata/good.yaml"}}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string // on stderr
	}{
		{"no such command", []string{"serve"}, exitUsage, `unknown command "serve"`},
		{"no such command of page", []string{"page", "foo"}, exitUsage, `unknown command "foo" for "maitred page"`},
		{"no such shell", []string{"completion", "foo"}, exitUsage, `unknown command "foo" for "maitred completion"`},
		{"no such help", []string{"help", "foo"}, exitUsage, `unknown command "foo"`},
		{"no such help of page", []string{"help", "page", "foo"}, exitUsage, `unknown command "foo" for "maitred page"`},
		{"no such flag", []string{"status", "--fast"}, exitUsage, "unknown flag: --fast"},
		{"too many arguments", []string{"version", "x"}, exitUsage, `maitred version takes no argument, such as "x"`},
		{"page without a name", []string{"page", "show"}, exitUsage, "name one page: see"},
		{"page without a name, with a configuration", []string{"page", "show", "--config", "testdata/good.yaml"}, exitUsage, "name one page: closed, default, busy: see"},
		{"misspelt command", []string{"statsu"}, exitUsage, `unknown command "statsu" for "maitred" (did you mean status?): see maitred --help`},
		{"misspelt command of page", []string{"page", "shwo"}, exitUsage, `unknown command "shwo" for "maitred page" (did you mean show?)`},
		{"status of something", []string{"status", "foo"}, exitUsage, `maitred status takes no argument, such as "foo"`},
		{"no duration", []string{"status", "--wait", "abc"}, exitUsage, `--wait takes a duration, such as 500ms, 5s or 2m, not "abc": see`},
		{"no number", []string{"events", "-n", "many"}, exitUsage, `--lines takes a whole number, not "many": see`},
		{"a number below 0", []string{"events", "--since", "-1"}, exitUsage, `--since takes a whole number, 0 or above, not "-1": see`},
		{"no such format of status", []string{"status", "-o", "xml"}, exitUsage, "the formats are table, wide, json"},
		{"no such format of events", []string{"events", "-o", "xml"}, exitUsage, "the formats are text, json"},
		{"no such level", []string{"run", "--log-level", "loud"}, exitUsage, "the levels are"},
		{"no such log format", []string{"run", "--log-format", "xml"}, exitUsage, "the formats are text and json"},
		{"no daemon", []string{"status", "--socket", "/nowhere/m.sock"}, exitFailed, "start it with maitred run"},
		{"no daemon to reload", []string{"reload", "--socket", "/nowhere/m.sock"}, exitFailed, "start it with maitred run"},
		{"no daemon to hear of", []string{"events", "--socket", "/nowhere/m.sock"}, exitFailed, "start it with maitred run"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, env{}, tc.args...)
			if got.code != tc.code || !strings.Contains(got.stderr, tc.want) || got.stdout != "" {
				t.Errorf("exit %d, stderr %q, stdout %q; want exit %d and %q", got.code, got.stderr, got.stdout, tc.code, tc.want)
			}
			if strings.Count(strings.TrimSpace(got.stderr), "\n") != 0 {
				t.Errorf("more than a sentence: %q", got.stderr)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version", "-v"} {
		got := run(t, env{}, arg)
		if got.code != exitDone || !strings.HasPrefix(got.stdout, "maitred ") || strings.Count(got.stdout, "\n") != 1 || got.stderr != "" {
			t.Errorf("%s: %+v", arg, got)
		}
	}
}

func TestCompletion(t *testing.T) {
	config := []string{"--config", "testdata/good.yaml"}
	daemon := []string{"--socket", fakeServer(t, fakeDaemon{status: example}, api.NewEvents()).vars["MAITRED_SOCKET"]}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "-o", ""}, "table\nwide\njson\n"},
		{[]string{"events", "-o", ""}, "text\njson\n"},
		{[]string{"doctor", "-o", ""}, "table\njson\n"},
		{[]string{"doctor", "l"}, "lo\n"},
		{[]string{"connections", "--proto", ""}, "tcp\nudp\n"},
		{[]string{"connections", "-o", ""}, "table\njson\n"},
		{[]string{"connections", "--service", ""}, ":4\n"},
		{append(append([]string{"connections"}, daemon...), "--service", ""), "shop\nmail\n"},
		{append(append([]string{"connections"}, daemon...), "--server", ""), "app/a\napp/b\nmx/m\n"},
		{append(append([]string{"explain"}, daemon...), ""), "shop\nmail\napp/a\napp/b\nmx/m\nsmtp\nweb\n"},
		{[]string{"explain", "shop", ""}, ":4\n"},
		{[]string{"run", "--log-level", ""}, "debug\ninfo\nwarn\nerror\n"},
		{append([]string{"page", "show"}, append(config, "")...), "closed\ndefault\n"},
		{[]string{"reload", ""}, ":4\n"},
	} {
		got := run(t, env{}, append([]string{"__complete"}, tc.args...)...)
		if got.code != exitDone || !strings.Contains(got.stdout, tc.want) {
			t.Errorf("%q: %+v, want %q", tc.args, got, tc.want)
		}
	}
	if err := (&app{}).complete(newRoot(Env{})); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("%v, want all of them to be there already", err)
	}
}

func TestSocketOfAConfigurationWithMistakes(t *testing.T) {
	e := fakeServer(t, fakeDaemon{reload: api.Reload{OK: true}}, api.NewEvents())
	socket := e.vars["MAITRED_SOCKET"]
	file := filepath.Join(t.TempDir(), "m.yaml")
	for _, tc := range []struct {
		name, text string
		want       outcome
	}{
		{"elsewhere", "sevices: []\nadmin: {socket: " + socket + "}\n", outcome{exitDone, "the configuration is in force\n", ""}},
		{"of syntax", "admin: {socket: " + socket + "\n", outcome{exitFailed, "",
			"maitred: " + file + ":1: is not YAML: did not find expected ',' or '}': so the default socket is tried: name the socket with --socket\n" +
				"maitred: no daemon answers on /run/maitred/maitred.sock: start it with maitred run, or name its socket with --socket\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := os.Stat(defaultSocket); err == nil && tc.want.code == exitFailed {
				t.Skip("this machine has a daemon of its own at the default socket")
			}
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := run(t, env{vars: map[string]string{"MAITRED_CONFIG": file}}, "reload"); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestNoConfigurationAtTheUsualPlace(t *testing.T) {
	if _, err := os.Stat(defaultConfig); err == nil {
		t.Skip("this machine has a configuration of its own")
	}
	want := outcome{exitFailed, "", "maitred: /etc/maitred/maitred.yaml is not there: name a configuration with --config or MAITRED_CONFIG\n"}
	for _, args := range [][]string{{"validate"}, {"run"}, {"page", "show", "default"}} {
		if got := run(t, env{}, args...); got != want {
			t.Errorf("%v: %+v, want %+v", args, got, want)
		}
	}
}

func TestPermissionDeniedOnTheSocket(t *testing.T) {
	c := &cobra.Command{RunE: does(func(context.Context, []string) error {
		return fmt.Errorf("ask: %w", &url.Error{Op: "Get", URL: "http://maitred/v1/status", Err: &net.OpError{
			Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: "/run/m.sock", Net: "unix"}, Err: os.NewSyscallError("connect", syscall.EACCES),
		}})
	})}
	c.SetContext(t.Context())
	err := c.RunE(c, nil)
	if want := "permission denied on /run/m.sock: only the daemon's user and group may speak to it"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestGroupsHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"page"}, {"completion"}, {"help", "page"}, {"help"}} {
		if got := run(t, env{}, args...); got.code != exitDone || !strings.Contains(got.stdout, "Usage:") || got.stderr != "" {
			t.Errorf("%v: %+v, want help", args, got)
		}
	}
	if got := run(t, env{}, "completion", "bash"); got.code != exitDone || !strings.Contains(got.stdout, "maitred") {
		t.Errorf("completion bash: exit %d, stderr %q", got.code, got.stderr)
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	got := run(t, env{}, "--help")
	for _, name := range []string{"run", "validate", "reload", "status", "explain", "connections", "events", "page", "doctor", "demo", "version", "completion"} {
		if !strings.Contains(got.stdout, "\n  "+name+" ") {
			t.Errorf("help does not name %s", name)
		}
	}
	if strings.Contains(got.stdout, "demo-server") {
		t.Error("help names the hidden command")
	}
}
