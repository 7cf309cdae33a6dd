// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// RequireRoot skips a test that is not run by root. Under CI=true it fails it.
func RequireRoot(t testing.TB) {
	t.Helper()
	if unix.Geteuid() != 0 {
		lack(t, os.Getenv("CI") == "true", "needs root")
	}
}

// RequireBPF skips a test where XDP programs cannot be loaded, and mounts the
// BPF file system where it is not mounted. Under CI=true it fails the test.
func RequireBPF(t testing.TB) {
	t.Helper()
	RequireRoot(t)
	err := MountBPF()
	if err == nil {
		err = probeBPF()
	}
	if err != nil {
		lack(t, os.Getenv("CI") == "true", "needs BPF: %v", err)
	}
}

// RequireIPVS skips a test on a kernel without IPVS, which is a choice of its
// build: the test then runs in the virtual machine of tools/vmtest. Under
// MAITRED_REQUIRE_IPVS=1, as it is set there, it fails the test.
func RequireIPVS(t testing.TB) {
	t.Helper()
	RequireRoot(t)
	if err := probeIPVS(); err != nil {
		lack(t, os.Getenv("MAITRED_REQUIRE_IPVS") == "1", "needs IPVS: %v", err)
	}
}

// AtLeast skips a test of a feature on a kernel older than the feature.
func AtLeast(t testing.TB, major, minor int, feature string) {
	t.Helper()
	r, err := Version()
	if err != nil {
		t.Fatal(err)
	}
	if r.Before(major, minor) {
		t.Skipf("%s came with Linux %d.%d, this is %v", feature, major, minor, r)
	}
}

func lack(t testing.TB, strict bool, format string, args ...any) {
	t.Helper()
	if strict {
		t.Fatalf(format, args...)
	} else {
		t.Skipf(format, args...)
	}
}
