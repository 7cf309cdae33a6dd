// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	status func() api.Status
	reload api.Reload
}

func (d fakeDaemon) Status(context.Context) api.Status { return d.status() }
func (d fakeDaemon) Reload(context.Context) api.Reload { return d.reload }

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
		{"too many arguments", []string{"version", "x"}, exitUsage, `unknown command "x"`},
		{"page without a name", []string{"page", "show"}, exitUsage, "accepts 1 arg(s)"},
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
	if got := run(t, env{}, "version"); got.code != exitDone || !strings.HasPrefix(got.stdout, "maitred ") {
		t.Errorf("%+v", got)
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
	for _, name := range []string{"run", "validate", "reload", "status", "events", "page", "doctor", "demo", "version", "completion"} {
		if !strings.Contains(got.stdout, "\n  "+name+" ") {
			t.Errorf("help does not name %s", name)
		}
	}
	if strings.Contains(got.stdout, "demo-server") {
		t.Error("help names the hidden command")
	}
}
