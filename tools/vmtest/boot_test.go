// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestBoot runs real machines. Each takes a few seconds.
func TestBoot(t *testing.T) {
	for _, program := range []string{"qemu-system-x86_64", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			lacking(t, err)
		}
	}
	if _, err := findKernel(t.Context(), "auto"); err != nil {
		lacking(t, err)
	}
	tests := []struct {
		name, script string
		flags        []string
		code         int
		out, err     string
	}{
		{"zero", `echo "$GREETING from $(uname -n)"`, []string{"-env", "GREETING=hello"}, 0, "hello from vmtest\n", ""},
		{"seven", "exit 7", nil, 7, "", ""},
		{"killed", "kill -9 $$", nil, 128 + 9, "", ""},
		{"forged report", `echo -n '{"Codes":[0]}' >/dev/ttyS1; exit 7`, nil, 7, "", ""},
		{"panic", "echo c >/proc/sysrq-trigger", nil, failed, "Kernel panic", "without a report"},
		{"power off", "busybox poweroff -f", nil, failed, "", "without a report"},
		{"timeout", "sleep 100", []string{"-timeout", "6s"}, failed, "", "not done after 6s"},
		{"IPVS", "cat /proc/net/ip_vs; ls -d /sys/module/ip_vs_wlc /sys/module/ip_vs_mh", nil, 0, "IP Virtual Server", ""},
		{"tunnels", "cd /sys/module && ls -d ipip sit ip6_tunnel fou fou6 pktgen 8021q bridge", nil, 0, "pktgen", ""},
		{"shared libraries", "/usr/bin/env true", []string{"-file", "env:/usr/bin/env"}, 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			args := append(tt.flags, "--", "busybox", "sh", "-c", tt.script)
			code, err := run(t.Context(), args, &out)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("%q is not in the output", tt.out)
			}
			if t.Failed() {
				t.Logf("output:\n%s", out.String())
			}
		})
	}
}

// lacking skips a test for want of a tool; under CI=true it fails it.
func lacking(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}
