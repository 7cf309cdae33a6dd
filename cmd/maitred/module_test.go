// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// TestModuleTest builds maitred and the host of modules, and has them try the
// examples: a good shared object, a good program, and what is neither.
func TestModuleTest(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("install the package gcc: ", err)
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) { // another user opens what is there
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const examples = "../../checkers/module/examples/"
	hello, garbage := filepath.Join(dir, "hello.so"), filepath.Join(dir, "garbage.so")
	for _, args := range [][]string{
		{"go", "build", "-o", dir + "/", ".", "../maitred-module-host"},
		{"gcc", "-shared", "-fPIC", "-I../../checkers/module", "-o", hello, examples + "hello.c"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	if err := os.WriteFile(garbage, []byte("no object"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"shared object", []string{hello, "--calls", "400"}, 0, []string{"hello, 127.0.0.1", "400 calls"}},
		{"no object", []string{garbage}, 1, []string{"garbage.so"}},
		{"no file", []string{filepath.Join(dir, "none.so")}, 1, []string{"none.so"}},
		{"no address", []string{hello, "--target", "shop"}, 2, []string{"--target shop: write an address and a port"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(dir, "maitred"), append([]string{"module", "test"}, test.args...)...)
			out, err := cmd.CombinedOutput()
			var failed *exec.ExitError
			if err != nil && !errors.As(err, &failed) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d: %s", code, test.code, out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("it says %q, which lacks %q", out, want)
				}
			}
		})
	}
}

func TestModulesText(t *testing.T) {
	until := now.Add(90 * time.Second)
	got := modulesText([]api.Module{
		{Name: "hello.so", Phase: "running", PID: 71, Parallel: 64, InFlight: 2, Calls: 1000, Late: 1, Starts: 1},
		{Name: "sick.so", Phase: "quarantine", Parallel: 64, Calls: 5, Starts: 5, Crashes: 5, Until: &until, Why: "signal: segmentation fault"},
	}, now)
	golden(t, "modules.golden", got)
	if got := modulesText(nil, now); got != "No module has been called.\n" {
		t.Errorf("without any: %q", got)
	}
}
