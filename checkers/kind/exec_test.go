// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/module"
)

// shell is an exec check of a line of shell, which gets the target as $1.
func shell(t *testing.T, line string) checkers.Checker {
	t.Helper()
	return must(t, "exec", m{"command": []any{"/bin/sh", "-c", line, "sh", "{target} {timeout}"}, "environment": []any{"MORE=1 2"}})
}

// TestExec: what programs say by their code, their output and their end.
func TestExec(t *testing.T) {
	target := netip.MustParseAddrPort("[2001:db8::1]:8080")
	for _, test := range []struct {
		name, line string
		want       checkers.Result
	}{
		{"pass", "echo all is well; echo more", checkers.Result{Outcome: checkers.OutcomePass, Message: "all is well"}},
		{"fail", "echo no; exit 7", checkers.Result{Outcome: checkers.OutcomeFail, Class: checkers.ClassModule, Message: "no"}},
		{"weight", "echo fine; echo weight 75", checkers.Result{Outcome: checkers.OutcomePass, Percent: 75, Message: "fine"}},
		{"weight of nothing", "echo weight 0%", checkers.Result{Outcome: checkers.OutcomePass, Hint: checkers.HintDrain, Message: "weight 0%"}},
		{"weight of too much", "echo weight 99999", checkers.Result{Outcome: checkers.OutcomePass, Percent: checkers.MaxPercent, Message: "weight 99999"}},
		{"weight in words", "echo my weight 75", checkers.Result{Outcome: checkers.OutcomePass, Message: "my weight 75"}},
		{"weight of a failure", "echo weight 75; exit 1", checkers.Result{Outcome: checkers.OutcomeFail, Class: checkers.ClassModule, Message: "weight 75"}},
		{"complaint", "echo oh dear >&2; exit 1", checkers.Result{Outcome: checkers.OutcomeFail, Class: checkers.ClassModule, Message: "oh dear"}},
		{"silent", "exit 1", checkers.Result{Outcome: checkers.OutcomeFail, Class: checkers.ClassModule, Message: "no word (exit status 1)"}},
		{"crash", "kill -SEGV $$", checkers.Result{Class: checkers.ClassLocal, Message: "the program has not ended by itself: signal: segmentation fault"}},
		{"target", "echo $1, $TARGET_ADDRESS $TARGET_PORT", checkers.Result{Outcome: checkers.OutcomePass, Message: "[2001:db8::1]:8080 10, 2001:db8::1 8080"}},
		{"environment", "env | sort | tr '\\n' ' '", checkers.Result{Outcome: checkers.OutcomePass, Message: "GOTRACEBACK=none LANG=C.UTF-8 MORE=1 2 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PWD=/ TARGET=[2001:db8::1]:8080 TARGET_ADDRESS=2001:db8::1 TARGET_PORT=8080 TIMEOUT=10"}},
		{"flood", "yes | head -c 10000000; exit 0", checkers.Result{Outcome: checkers.OutcomePass, Message: "y"}},
		{"child with the pipe", "setsid sleep 3 & echo left one", checkers.Result{Outcome: checkers.OutcomePass, Message: "left one"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := runOn(t, shell(t, test.line), target)
			got.RTT = 0
			test.want.Message = checkers.Clip("sh [2001:db8::1]:8080: "+test.want.Message, checkers.MaxMessage)
			if got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// TestExecPortless: without a port, programs are told 0, and an address as the target.
func TestExecPortless(t *testing.T) {
	got := runOn(t, shell(t, "echo $1, $TARGET $TARGET_PORT"), netip.MustParseAddrPort("[2001:db8::1]:0"))
	if want := "sh 2001:db8::1: 2001:db8::1 10, 2001:db8::1 0"; got.Message != want {
		t.Errorf("got %q, want %q", got.Message, want)
	}
}

// TestNeedsPort: the code of others does without, unless a command names it.
func TestNeedsPort(t *testing.T) {
	for _, test := range []struct {
		kind    string
		options m
		want    bool
	}{
		{"tcp", nil, true},
		{"icmp", nil, false},
		{"module", nil, false},
		{"coprocess", nil, false},
		{"exec", m{"command": []any{"/bin/true", "{address}"}}, false},
		{"exec", m{"command": []any{"/bin/true", "--port={port}"}}, true},
		{"nagios", m{"command": []any{"/bin/true", "{target}"}}, true},
	} {
		if got := lookup(t, test.kind).NeedsPort(test.options); got != test.want {
			t.Errorf("%s %v: got %t", test.kind, test.options, got)
		}
	}
}

// TestKeepModules: what no probe uses is forgotten.
func TestKeepModules(t *testing.T) {
	env := NewEnv(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	})
	target := netip.MustParseAddrPort("192.0.2.1:0")
	check := &hosted{spec: module.Spec{Name: "own", Host: "/no/such/host", Command: []string{"/no/such/program"}}, hosts: env.Modules}
	if got := runOn(t, check, target); got.Outcome != checkers.OutcomeUnknown || !strings.HasPrefix(got.Message, "own 192.0.2.1: not run: ") {
		t.Errorf("got %+v", got)
	}
	env.Keep([]checkers.Probe{{Checker: check}})
	if all := env.Modules.Status(); len(all) != 1 {
		t.Errorf("what is used was forgotten: %+v", all)
	}
	env.Keep(nil)
	if all := env.Modules.Status(); len(all) != 0 {
		t.Errorf("what nobody uses is kept: %+v", all)
	}
}

// TestExecRights: a program is not root, and can't become it.
func TestExecRights(t *testing.T) {
	got := runOn(t, shell(t, "id -u; grep NoNewPrivs /proc/self/status >&2"), netip.MustParseAddrPort("192.0.2.1:80"))
	if os.Geteuid() == 0 && strings.HasSuffix(got.Message, ": 0") {
		t.Errorf("it runs as root: %q", got.Message)
	}
	got = runOn(t, shell(t, "grep NoNewPrivs /proc/self/status"), netip.MustParseAddrPort("192.0.2.1:80"))
	if !regexp.MustCompile(`NoNewPrivs:.*1$`).MatchString(got.Message) {
		t.Errorf("got %q", got.Message)
	}
}

// TestExecTimeout: the whole group of a program that is late ends.
func TestExecTimeout(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	const mark = "8675309.25"
	got := shell(t, "sleep "+mark+" & sleep "+mark).Check(ctx, netip.MustParseAddrPort("192.0.2.1:80"))
	if got.Outcome != checkers.OutcomeFail || got.Class != checkers.ClassTimeout || !strings.Contains(got.Message, "the program has not ended within 200ms") {
		t.Errorf("got %+v", got)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := exec.Command("pgrep", "-f", "^sleep "+mark).Run()
		if err != nil {
			break // none is left
		}
		if time.Now().After(end) {
			t.Fatal("a child of the program lives on")
		}
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	got = shell(t, "exit 1").Check(ctx, netip.MustParseAddrPort("192.0.2.1:80"))
	if got.Outcome != checkers.OutcomeUnknown || got.Class != checkers.ClassLocal {
		t.Errorf("called off: got %+v", got)
	}
}

// TestExecNotRun: a program that can't be started says nothing of the server.
func TestExecNotRun(t *testing.T) {
	got := runOn(t, must(t, "exec", m{"command": []any{"/no/such/program"}}), netip.MustParseAddrPort("192.0.2.1:80"))
	if got.Outcome != checkers.OutcomeUnknown || got.Class != checkers.ClassLocal || !strings.Contains(got.Message, "not run: fork/exec /no/such/program: no such file or directory") {
		t.Errorf("got %+v", got)
	}
	if slots := checkers.SlotsOf(shell(t, "exit")); slots != checkers.ExecSlots() {
		t.Errorf("got the slots %+v", slots)
	}
}

// TestOwnOptionMistakes gives options that are wrong for modules and programs.
func TestOwnOptionMistakes(t *testing.T) {
	for _, test := range []mistakeTest{
		{"no command", "exec", m{}, []string{"command: is missing: give a list with a program and its arguments"}},
		{"no path", "nagios", m{"command": []any{"check_tcp"}}, []string{`command[0]: "check_tcp" is not a whole path: write /usr/lib/...`}},
		{"what stands for nothing", "nagios", m{"command": []any{"/bin/true", "-H", "{host}"}}, []string{"command[2]: {host} stands for nothing: {address}, {port}, {target} and {timeout} do"}},
		{"environment", "exec", m{"command": []any{"/bin/true"}, "environment": []any{"A"}}, []string{`environment[0]: "A" is not right: write NAME=value`}},
		{"user", "exec", m{"command": []any{"/bin/true"}, "user": "no-such-user"}, []string{"user: user: unknown user no-such-user: make one with useradd --system"}},
		{"no file", "module", m{}, []string{"module_file: is missing"}},
		{"no program", "coprocess", m{"memory_mib": 1}, []string{"program_file: is missing", "memory_mib: 1 is not a whole number from 256 to 65536"}},
		{"settings", "coprocess", m{"args": []any{"a=1", "b", "a=2"}}, []string{
			"program_file: is missing", `args[1]: "b" is not right: write each name once, as name=value`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := lookup(t, test.kind).New(test.options)
			got := strings.Split(errorText(err), "\n")
			for _, want := range test.want {
				if !strings.Contains(strings.Join(got, "\n"), want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			if len(got) != len(test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
