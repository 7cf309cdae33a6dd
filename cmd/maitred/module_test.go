// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	never, stateless := filepath.Join(dir, "never.so"), filepath.Join(dir, "stateless.sh")
	source := filepath.Join(dir, "never.c")
	const hangs = `#include <unistd.h>
#include "maitred_module.h"
static int check(const struct maitred_call *c, struct maitred_result *r) { (void)c; (void)r; for (;;) pause(); }
MAITRED_MODULE("never", 0, check, 0, 0)
`
	if err := os.WriteFile(source, []byte(hangs), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-I../../checkers/module", "-o", never, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The frames are as long as their first four bytes say.
	const mute = `#!/bin/sh
printf '\0\0\0\034{"op":"hello","version":1}  '
head -c 60 > /dev/null
printf '\0\0\0\010{"id":1}'
cat > /dev/null
`
	if err := os.WriteFile(stateless, []byte(mute), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(garbage, []byte("no object"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("guide", func(t *testing.T) { guideValidates(t, dir, hello) })
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"shared object", []string{hello, "--calls", "400"}, 0, []string{"hello, 127.0.0.1", "400 calls"}},
		{"no object", []string{garbage}, 1, []string{"garbage.so"}},
		{"no file", []string{filepath.Join(dir, "none.so")}, 1, []string{"none.so"}},
		{"never answers", []string{never, "--timeout", "100ms"}, 1, []string{"first call  no answer within 100ms", "the first call: no answer within 100ms"}},
		{"no state", []string{stateless, "--coprocess"}, 1, []string{"first call  no state in"}},
		{"few calls", []string{hello, "--calls", "10"}, 2, []string{"--calls 10: make 200 or more"}},
		{"no time", []string{hello, "--timeout", "0s"}, 2, []string{"--timeout 0s: give a call some time, as in 2s"}},
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

// guideValidates holds each example of docs/modules.md to be right beside the README's
// least configuration, once its files are there.
func guideValidates(t *testing.T, dir, hello string) {
	example := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	least := example.FindStringSubmatch(readDoc(t, "README.md"))[1]
	examples := example.FindAllStringSubmatch(readDoc(t, "docs/modules.md"), -1)
	if len(examples) < 3 {
		t.Fatalf("%d examples", len(examples))
	}
	greeting := filepath.Join(dir, "greeting.py")
	if err := os.WriteFile(greeting, []byte("#!/usr/bin/python3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/usr/lib/maitred/modules/hello.so", hello, "/etc/maitred/greeting.py", greeting)
	main := filepath.Join(dir, "maitred.yaml")
	for i, found := range examples {
		own, checks, _ := strings.Cut(here.Replace(found[1]), "checks:\n")
		if own != "" {
			t.Fatalf("example %d begins with %q", i, own)
		}
		// What the example has comes first in the list of checks, and pool app uses it.
		names := strings.Join(append(namesOfChecks(checks), "web"), ", ")
		text := strings.Replace(least, "checks:\n", "checks:\n"+checks, 1)
		text = strings.Replace(text, "checks: [web]", "checks: ["+names+"]", 1)
		if err := os.WriteFile(main, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(filepath.Join(dir, "maitred"), "validate", main).CombinedOutput(); err != nil {
			t.Errorf("example %d: %v\n%s\n%s", i, err, out, text)
		}
	}
}

// namesOfChecks are the names in a list of checks.
func namesOfChecks(checks string) (names []string) {
	for _, found := range regexp.MustCompile(`(?m)^  - name: (\S+)$`).FindAllStringSubmatch(checks, -1) {
		names = append(names, found[1])
	}
	return names
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
