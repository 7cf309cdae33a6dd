// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// TestAgent asks agents that say each word of the grammar, and some that do not.
func TestAgent(t *testing.T) {
	for _, test := range []struct {
		name, says string
		class      checkers.Class
		message    string
		percent    int
		hint       checkers.Hint
	}{
		{"up", "up\n", checkers.ClassNone, "up", 0, checkers.HintNone},
		{"without the line's end", "up", checkers.ClassNone, "up", 0, checkers.HintNone},
		{"ready and share", "READY 75%\r\n", checkers.ClassNone, "ready", 75, checkers.HintNone},
		{"share alone", "50%\n", checkers.ClassNone, "50%", 50, checkers.HintNone},
		{"no share", "0%\n", checkers.ClassNone, "0%", 0, checkers.HintDrain},
		{"most", "1000%\n", checkers.ClassNone, "1000%", 1000, checkers.HintNone},
		{"drain", "drain,up # deploy\n", checkers.ClassNone, "up: deploy", 0, checkers.HintDrain},
		{"maint", "maint\n", checkers.ClassNone, "maint", 0, checkers.HintMaint},
		{"down", "down#disk is full\n", checkers.ClassStatus, "down: disk is full", 0, checkers.HintNone},
		{"fail", "fail\n", checkers.ClassStatus, "fail", 0, checkers.HintNone},
		{"stopped", "stopped\n", checkers.ClassStatus, "stopped", 0, checkers.HintNone},
		{"maxconn", "up maxconn:30\n", checkers.ClassNone, "up", 0, checkers.HintNone},
		{"maxconn alone", "maxconn:30\n", checkers.ClassProtocol, "it says nothing of the state", 0, checkers.HintNone},
		{"empty line", "\n", checkers.ClassProtocol, "it says nothing of the state", 0, checkers.HintNone},
		{"too much", "1001%\n", checkers.ClassProtocol, `"1001%" is no word for a state: up, ready, down, fail, stopped, drain, maint and 75% are`, 0, checkers.HintNone},
		{"less than nothing", "-5%\n", checkers.ClassProtocol, `"-5%" is no word for a state: up, ready, down, fail, stopped, drain, maint and 75% are`, 0, checkers.HintNone},
		{"a web server", "HTTP/1.1 400 Bad Request\r\n", checkers.ClassProtocol, `"request" is no word for a state: up, ready, down, fail, stopped, drain, maint and 75% are`, 0, checkers.HintNone},
		{"nothing", "", checkers.ClassProtocol, "the agent closed the connection without a word", 0, checkers.HintNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, test.says) })
			r := checkFor(t, 10*time.Second, must(t, "agent", nil), target)
			wantResult(t, r, test.class, fmt.Sprintf("agent %s: %s", target, test.message))
			if r.Percent != test.percent || r.Hint != test.hint {
				t.Errorf("%d%%, hint %s; want %d%%, %s", r.Percent, r.Hint, test.percent, test.hint)
			}
		})
	}
}

func TestAgentSends(t *testing.T) {
	target := serve(t, func(conn net.Conn) {
		heard := make([]byte, 5)
		_, _ = io.ReadFull(conn, heard)
		_, _ = fmt.Fprintf(conn, "down # %s\n", bytes.TrimSpace(heard))
	})
	wantResult(t, checkFor(t, 10*time.Second, must(t, "agent", m{"send": "web1\n"}), target), checkers.ClassStatus, fmt.Sprintf("agent %s: down: web1", target))
}

func TestAgentSick(t *testing.T) {
	stalls := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	wantResult(t, checkFor(t, 500*time.Millisecond, must(t, "agent", nil), stalls), checkers.ClassStalled, fmt.Sprintf("agent %s: connected, but no answer within LIMIT", stalls))
	floods := serve(t, func(conn net.Conn) {
		for block := bytes.Repeat([]byte{'x'}, 64<<10); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	})
	wantResult(t, checkFor(t, 10*time.Second, must(t, "agent", nil), floods), checkers.ClassProtocol, fmt.Sprintf("agent %s: the answer is longer than 4096 bytes", floods))
	gone := freePort(t)
	wantResult(t, checkFor(t, 10*time.Second, must(t, "agent", nil), gone), checkers.ClassRefused, fmt.Sprintf("agent %s: connection refused", gone))
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	target := netip.MustParseAddrPort("192.0.2.7:0")
	for _, test := range []struct {
		name    string
		content string // "-": no file
		age     time.Duration
		options m
		outcome checkers.Outcome
		class   checkers.Class
		message string
		percent int
		hint    checkers.Hint
	}{
		{"up", "up\n", 0, nil, checkers.OutcomePass, checkers.ClassNone, "up", 0, checkers.HintNone},
		{"down", "down # kernel update\nup\n", 0, nil, checkers.OutcomeFail, checkers.ClassContent, "down: kernel update", 0, checkers.HintNone},
		{"drain", "drain", 0, nil, checkers.OutcomePass, checkers.ClassNone, "drain", 0, checkers.HintDrain},
		{"maint", "maint", 0, nil, checkers.OutcomePass, checkers.ClassNone, "maint", 0, checkers.HintMaint},
		{"share", "25%", 0, nil, checkers.OutcomePass, checkers.ClassNone, "25%", 25, checkers.HintNone},
		{"empty", "", 0, nil, checkers.OutcomeFail, checkers.ClassProtocol, "it says nothing of the state", 0, checkers.HintNone},
		{"missing", "-", 0, nil, checkers.OutcomeFail, checkers.ClassContent, "is not there", 0, checkers.HintNone},
		{"missing passes", "-", 0, m{"missing": "pass"}, checkers.OutcomePass, checkers.ClassNone, "is not there", 0, checkers.HintNone},
		{"missing is unknown", "-", 0, m{"missing": "unknown"}, checkers.OutcomeUnknown, checkers.ClassLocal, "is not there", 0, checkers.HintNone},
		{"missing drains", "-", 0, m{"missing": "drain"}, checkers.OutcomePass, checkers.ClassNone, "is not there, which means drain", 0, checkers.HintDrain},
		{"missing is maint", "-", 0, m{"missing": "maint"}, checkers.OutcomePass, checkers.ClassNone, "is not there, which means maint", 0, checkers.HintMaint},
		{"young", "up", time.Second, m{"age": "10m"}, checkers.OutcomePass, checkers.ClassNone, "up", 0, checkers.HintNone},
		{"old", "up", time.Hour, m{"age": "10m"}, checkers.OutcomeFail, checkers.ClassContent, "was written 1h0m0s ago, and 10m0s is wanted", 0, checkers.HintNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, "state-192.0.2.7")
			_ = os.Remove(path)
			if test.content != "-" {
				if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
					t.Fatal(err)
				}
				then := time.Now().Add(-test.age)
				if err := os.Chtimes(path, then, then); err != nil {
					t.Fatal(err)
				}
			}
			options := m{"path": filepath.Join(dir, "state-{address}")}
			for k, v := range test.options {
				options[k] = v
			}
			r := must(t, "file", options).Check(t.Context(), target)
			want := checkers.Result{Outcome: test.outcome, Class: test.class, RTT: r.RTT, Message: "file " + path + ": " + test.message, Percent: test.percent, Hint: test.hint}
			if r != want {
				t.Errorf("got %+v\nwant %+v", r, want)
			}
		})
	}
	if r := must(t, "file", m{"path": dir}).Check(t.Context(), target); r.Outcome != checkers.OutcomeUnknown {
		t.Errorf("a folder: %+v", r)
	}
}

func TestProcess(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			_ = sleep.Process.Kill()
			_ = sleep.Wait()
			ended = true
		}
	}
	t.Cleanup(end)
	pid := sleep.Process.Pid
	pidfile := filepath.Join(t.TempDir(), "pid")
	check := func(content string, options m, class checkers.Class, message string) {
		t.Helper()
		if err := os.WriteFile(pidfile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		wantResult(t, must(t, "process", options).Check(t.Context(), netip.AddrPort{}), class, message)
	}
	number := fmt.Sprintf("%d\n", pid)
	check(number, m{"pidfile": pidfile}, checkers.ClassNone, fmt.Sprintf("process of %s: process %d is alive", pidfile, pid))
	check(number, m{"pidfile": pidfile, "name": "sleep"}, checkers.ClassNone, fmt.Sprintf("process of %s: process %d is alive", pidfile, pid))
	check(number, m{"pidfile": pidfile, "name": "sshd"}, checkers.ClassStatus, fmt.Sprintf("process of %s: process %d is sleep, not sshd", pidfile, pid))
	check("x", m{"pidfile": pidfile}, checkers.ClassContent, fmt.Sprintf(`process of %s: "x" is not the number of a process`, pidfile))
	check("", m{"pidfile": pidfile + "2"}, checkers.ClassStatus, fmt.Sprintf("process of %s2: the file is not there", pidfile))
	check("", m{"name": "no-such-process"}, checkers.ClassStatus, "process no-such-process: no process of that name is alive")
	if r := must(t, "process", m{"name": "sleep"}).Check(t.Context(), netip.AddrPort{}); r.Outcome != checkers.OutcomePass {
		t.Errorf("%+v", r)
	}
	_ = sleep.Process.Kill() // a zombie until it is waited for
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, alive := (&processCheck{proc: "/proc"}).look(fmt.Sprint(pid)); !alive {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a zombie is alive")
		}
	}
	check(number, m{"pidfile": pidfile}, checkers.ClassStatus, fmt.Sprintf("process of %s: process %d is not alive", pidfile, pid))
	end()
	check(number, m{"pidfile": pidfile}, checkers.ClassStatus, fmt.Sprintf("process of %s: process %d is not alive", pidfile, pid))
}
