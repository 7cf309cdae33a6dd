// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/kernel"
)

var update = flag.Bool("update", false, "write the budgets of this kernel to testdata/verifier.golden")

// A line of the golden file is "KERNEL PROGRAM INSNS STATES": what the verifier
// of that kernel walked through when the line was written. Embedded, since a
// test in a virtual machine has no directory of the source.
//
//go:embed testdata/verifier.golden
var verifierGolden string

// effort is how hard the verifier found a program.
type effort struct{ insns, states int }

func (e effort) within(budget effort) bool {
	return e.insns*10 <= budget.insns*11 && e.states*10 <= budget.states*11
}

var effortLine = regexp.MustCompile(`processed (\d+) insns .* total_states (\d+)`)

// TestVerifierBudget fails when a program has become more than a tenth harder
// to verify than it was on the same kernel: long before its limit of a million.
func TestVerifierBudget(t *testing.T) {
	release, err := kernel.Version()
	if err != nil {
		t.Fatal(err)
	}
	budgets := parseBudgets(t, verifierGolden)
	for name, got := range efforts(t) {
		key := fmt.Sprintf("%v %s", release, name)
		t.Logf("%s %d %d", key, got.insns, got.states)
		switch budget, known := budgets[key]; {
		case *update:
			budgets[key] = got
		case !known:
			t.Logf("no budget for %s: run with -update on such a kernel", key)
		case !got.within(budget):
			t.Errorf("%s: %+v, budget is %+v and a tenth", key, got, budget)
		}
	}
	if *update {
		writeBudgets(t, budgets)
	}
}

// efforts loads the programs and reads what the verifier says of each.
func efforts(t *testing.T) map[string]effort {
	t.Helper()
	kernel.RequireBPF(t)
	spec, err := LoadDirector()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		t.Fatal(explained(err))
	}
	defer c.Close()
	all := make(map[string]effort)
	for name, p := range c.Programs {
		m := effortLine.FindStringSubmatch(p.VerifierLog)
		if m == nil {
			t.Fatalf("%s: no effort in the verifier's log:\n%s", name, p.VerifierLog)
		}
		var e effort
		if _, err := fmt.Sscan(m[1]+" "+m[2], &e.insns, &e.states); err != nil {
			t.Fatal(err)
		}
		all[name] = e
	}
	return all
}

func parseBudgets(t *testing.T, golden string) map[string]effort {
	t.Helper()
	budgets := make(map[string]effort)
	for line := range strings.Lines(golden) {
		var release, name string
		var e effort
		if _, err := fmt.Sscan(line, &release, &name, &e.insns, &e.states); err != nil {
			t.Fatalf("testdata/verifier.golden: %q: %v", line, err)
		}
		budgets[release+" "+name] = e
	}
	return budgets
}

func writeBudgets(t *testing.T, budgets map[string]effort) {
	t.Helper()
	var lines []string
	for key, e := range budgets {
		lines = append(lines, fmt.Sprintf("%s %d %d\n", key, e.insns, e.states))
	}
	slices.Sort(lines)
	if err := os.WriteFile("testdata/verifier.golden", []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEffortWithin(t *testing.T) {
	for _, tt := range []struct {
		got, budget effort
		want        bool
	}{
		{effort{1100, 110}, effort{1000, 100}, true},
		{effort{1101, 100}, effort{1000, 100}, false},
		{effort{1000, 111}, effort{1000, 100}, false},
		{effort{1, 1}, effort{1000, 100}, true},
	} {
		if got := tt.got.within(tt.budget); got != tt.want {
			t.Errorf("%+v within %+v: %v, want %v", tt.got, tt.budget, got, tt.want)
		}
	}
}
