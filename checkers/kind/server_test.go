// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// findProgram finds a server of a Debian package. Without it the test is
// skipped, but not on CI.
func findProgram(t *testing.T, pkg, name string, more ...string) string {
	t.Helper()
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") // users' PATH often lacks them
	for _, dir := range append(dirs, more...) {
		found, _ := filepath.Glob(filepath.Join(dir, name)) // fails on a bad pattern only
		for _, program := range found {
			if info, err := os.Stat(program); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return program
			}
		}
	}
	missing := name + " is not installed: apt-get install " + pkg
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// lockedBuffer takes a program's output while a test may look at it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// runServer runs a server until the test ends, and returns when it is ready.
func runServer(t *testing.T, server *exec.Cmd, ready func() error) {
	t.Helper()
	runServerUntil(t, server, syscall.SIGTERM, ready)
}

// runServerUntil does so with a server that another signal ends.
func runServerUntil(t *testing.T, server *exec.Cmd, end os.Signal, ready func() error) {
	t.Helper()
	var output lockedBuffer
	server.Stdout, server.Stderr = &output, &output
	if server.SysProcAttr == nil {
		server.SysProcAttr = &syscall.SysProcAttr{}
	}
	server.SysProcAttr.Setpgid = true
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Signal(end)
		select {
		case end := <-exited:
			t.Logf("%s ended: %v", server.Path, end) // their ways to end differ
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
			t.Errorf("%s did not end within 20s: %v\n%s", server.Path, <-exited, output.String())
		}
	})
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		select {
		case end := <-exited:
			exited <- end
			t.Fatalf("%s ended at its start: %v\n%s", server.Path, end, output.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready: %v\n%s", server.Path, err, output.String())
		}
	}
}

// answers tells whether a server accepts connections.
func answers(target netip.AddrPort) func() error {
	return func() error {
		conn, err := net.Dial("tcp", target.String())
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// passes tells whether a check of a server passes.
func passes(t *testing.T, target netip.AddrPort, kind string, values m) func() error {
	t.Helper()
	checker := must(t, kind, values)
	return func() error {
		if r := checkFor(t, 5*time.Second, checker, target); r.Outcome != checkers.OutcomePass {
			return errors.New(r.Message)
		}
		return nil
	}
}

// runTool runs a program to its end and returns what it says.
func runTool(t *testing.T, tool *exec.Cmd) string {
	t.Helper()
	output, err := tool.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", tool, err, output)
	}
	return string(output)
}

// writeFile writes a file that the test alone uses.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serverTest runs one check of one server.
type serverTest struct {
	name    string
	options m
	outcome checkers.Outcome
	class   checkers.Class
	message string // after the address; a * stands for anything
}

func (test serverTest) run(t *testing.T, kind string, target netip.AddrPort) {
	t.Helper()
	timeout := 10 * time.Second
	if test.class == checkers.ClassStalled {
		timeout = 500 * time.Millisecond // enough for a login on a busy machine
	}
	what := kind
	if kind == "mariadb" {
		what = "mysql" // of which it is another name
	}
	got := checkFor(t, timeout, must(t, kind, test.options), target)
	wantAnswer(t, got, test.outcome, test.class, fmt.Sprintf("%s %s: %s", what, target, test.message))
}

// wantAnswer compares a result with what is wanted; a * in the message stands
// for anything.
func wantAnswer(t *testing.T, got checkers.Result, outcome checkers.Outcome, class checkers.Class, message string) {
	t.Helper()
	if got.Outcome != outcome || got.Class != class || !like(got.Message, message) {
		t.Errorf("got  %s %s %q\nwant %s %s %q", got.Outcome, got.Class, got.Message, outcome, class, message)
	}
}

func like(text, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(text, parts[0]) || !strings.HasSuffix(text, parts[len(parts)-1]) {
		return false
	}
	for _, part := range parts {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// sick is a server that is ill in one of the ways that befall any protocol.
type sick struct {
	name   string
	handle func(net.Conn)
	class  checkers.Class
}

// sicknesses are those of servers that never say a sensible word.
func sicknesses() []sick {
	hear := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	return []sick{
		{"stalls", hear, checkers.ClassStalled},
		{"closes early", func(net.Conn) {}, checkers.ClassProtocol},
		{"closes after the first word", waitForWord, checkers.ClassProtocol},
		{"resets", func(conn net.Conn) { waitForWord(conn); abort(conn) }, checkers.ClassProtocol},
		{"floods with zeros", func(conn net.Conn) { flood(conn, 0) }, checkers.ClassProtocol},
		{"floods with ones", func(conn net.Conn) { flood(conn, 0xff) }, checkers.ClassProtocol},
		{"floods with text", func(conn net.Conn) { flood(conn, 'x') }, checkers.ClassProtocol},
	}
}

// waitForWord reads a little, or waits a little for those who wait for a greeting.
func waitForWord(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = conn.Read(make([]byte, 1))
}

// flood sends until nobody listens.
func flood(conn net.Conn, b byte) {
	for block := bytes.Repeat([]byte{b}, 64<<10); ; {
		if _, err := conn.Write(block); err != nil {
			return
		}
	}
}

// testSick runs a check against each kind of sick server.
func testSick(t *testing.T, kind string, values m) {
	t.Run("refuses", func(t *testing.T) {
		r := checkFor(t, 10*time.Second, must(t, kind, values), freePort(t))
		if r.Outcome != checkers.OutcomeFail || r.Class != checkers.ClassRefused {
			t.Errorf("got %s %s %q", r.Outcome, r.Class, r.Message)
		}
	})
	for _, s := range sicknesses() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if s.class == checkers.ClassStalled {
				timeout = 500 * time.Millisecond
			}
			begin := time.Now()
			r := checkFor(t, timeout, must(t, kind, values), serve(t, s.handle))
			if r.Outcome != checkers.OutcomeFail || r.Class != s.class {
				t.Errorf("got %s %s %q, want a failure, %s", r.Outcome, r.Class, r.Message, s.class)
			}
			if took := time.Since(begin); s.class != checkers.ClassStalled && took >= timeout {
				t.Errorf("took %v: the whole timeout", took)
			}
			t.Log(r.Message)
		})
	}
	t.Run("was called off", func(t *testing.T) {
		testCalledOff(t, must(t, kind, values))
	})
}

// testCalledOff ends the context while a server stalls.
func testCalledOff(t *testing.T, checker checkers.Checker) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	target := serve(t, func(conn net.Conn) { cancel(); _, _ = io.Copy(io.Discard, conn) })
	if r := checker.Check(ctx, target); r.Outcome != checkers.OutcomeUnknown || r.Class != checkers.ClassLocal {
		t.Errorf("got %s %s %q, want unknown, local", r.Outcome, r.Class, r.Message)
	}
}

// needRoot leaves a test to root, which every run of the project's CI is.
func needRoot(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
