// SPDX-License-Identifier: Apache-2.0

package module

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "maitred-modules-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // others are to open what is there
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	workshop.dir = dir
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// workshop is where what tests use is built, once.
var workshop struct {
	dir   string
	mu    sync.Mutex
	built map[string]error
}

// build runs a command once, which makes a file in the workshop.
func build(t testing.TB, name string, command func(out string) *exec.Cmd) string {
	t.Helper()
	workshop.mu.Lock()
	defer workshop.mu.Unlock()
	out := filepath.Join(workshop.dir, name)
	err, done := workshop.built[name]
	if !done {
		cmd := command(out)
		if text, failed := cmd.CombinedOutput(); failed != nil {
			err = fmt.Errorf("%v: %w\n%s", cmd.Args, failed, text)
		}
		if workshop.built == nil {
			workshop.built = map[string]error{}
		}
		workshop.built[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// program builds a Go program of this repository.
func program(t testing.TB, name, dir string) string {
	return build(t, name, func(out string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-o", out, dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return cmd
	})
}

// object builds a shared object with the machine's compiler.
func object(t testing.TB, source string, more ...string) string {
	t.Helper()
	compiler := "gcc"
	if filepath.Ext(source) == ".cc" {
		compiler = "g++"
	}
	if _, err := exec.LookPath(compiler); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("install the package build-essential: ", err)
	}
	return build(t, filepath.Base(source)+".so", func(out string) *exec.Cmd {
		args := []string{"-Wall", "-Wextra", "-Werror", "-O1", "-I.", "-shared", "-fPIC", "-o", out, source}
		return exec.Command(compiler, append(args, more...)...)
	})
}

// spec is that of a shared object with a host that was built here.
func spec(t testing.TB, file string) Spec {
	t.Helper()
	user, err := FindUser("")
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Name: filepath.Base(file), Host: program(t, hostProgram, "../../cmd/maitred-module-host"),
		Command: []string{file}, Object: true, User: user, Memory: 1 << 30,
	}
}

// record is a log that can be read.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// hosts makes a set that ends with the test.
func hosts(t testing.TB) (*Hosts, *record) {
	log := &record{}
	s := NewHosts(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(s.Close)
	return s, log
}

func at() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.1:80") }

// doing are the settings that say what the module sick is to do.
func doing(what string) json.RawMessage { return json.RawMessage(`{"do":"` + what + `"}`) }

// ask calls a module with a time for it.
func ask(t testing.TB, h *Host, args json.RawMessage, timeout time.Duration) (Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return h.Call(ctx, at(), args)
}

// eventually asks until the module answers with a pass.
func eventually(t *testing.T, h *Host) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		r, err := ask(t, h, nil, 5*time.Second)
		if err == nil && r.State == StatePass {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %+v, %v to the end", r, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// contextOf is a context with time enough.
func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), long)
}

// askAt asks about a target.
func askAt(t testing.TB, h *Host, target netip.AddrPort, timeout time.Duration) (Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return h.Call(ctx, target, nil)
}
