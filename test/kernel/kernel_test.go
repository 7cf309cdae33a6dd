// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"testing"
)

func TestParseRelease(t *testing.T) {
	tests := []struct {
		in   string
		want Release
		ok   bool
	}{
		{"6.1.0-56-cloud-amd64", Release{6, 1}, true},
		{"6.18.44", Release{6, 18}, true},
		{"7.0-rc1", Release{7, 0}, true},
		{"six", Release{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := parseRelease(tt.in)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %v, %v; want %v, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestBefore(t *testing.T) {
	r := Release{6, 6}
	for _, tt := range []struct {
		major, minor int
		want         bool
	}{{6, 6, false}, {6, 7, true}, {6, 5, false}, {7, 0, true}, {5, 19, false}} {
		if got := r.Before(tt.major, tt.minor); got != tt.want {
			t.Errorf("%v before %d.%d: %v, want %v", r, tt.major, tt.minor, got, tt.want)
		}
	}
}

func TestVersionIsThatOfThisKernel(t *testing.T) {
	r, err := Version()
	if err != nil {
		t.Fatal(err)
	}
	if r.Before(4, 0) {
		t.Errorf("got %v", r)
	}
}

// recorder is a testing.TB that notes how a gate ended the test.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Skipf(format string, args ...any)  { r.skipped = fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.failed = fmt.Sprintf(format, args...) }

func TestAtLeast(t *testing.T) {
	var old, here recorder
	AtLeast(&old, 99, 1, "teleport")
	AtLeast(&here, 4, 0, "BPF")
	if old.skipped == "" || here.skipped != "" {
		t.Errorf("99.1 skipped: %q; 4.0 skipped: %q", old.skipped, here.skipped)
	}
}

func TestLack(t *testing.T) {
	var lax, strict recorder
	lack(&lax, false, "needs %s", "root")
	lack(&strict, true, "needs %s", "root")
	if lax.skipped != "needs root" || lax.failed != "" {
		t.Errorf("lax: %+v", lax)
	}
	if strict.failed != "needs root" || strict.skipped != "" {
		t.Errorf("strict: %+v", strict)
	}
}

func TestRequireBPF(t *testing.T) {
	RequireBPF(t)
	if err := MountBPF(); err != nil {
		t.Errorf("mount again: %v", err)
	}
}

func TestRequireIPVSAgreesWithHasIPVS(t *testing.T) {
	has, err := HasIPVS()
	if err != nil {
		t.Fatal(err)
	}
	var r recorder
	t.Setenv("MAITRED_REQUIRE_IPVS", "")
	RequireRoot(t)
	RequireIPVS(&r)
	if has != (r.skipped == "") {
		t.Errorf("HasIPVS %v, skipped %q", has, r.skipped)
	}
}
