// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/tools/vmtest/initramfs"
)

// TestMain is /init when the test binary boots itself.
func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		guest()
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		want    []string
		wantErr string
	}{
		{"command", []string{"-file", "a", "-file", "b:c", "--", "sh", "-c", "x"}, []string{"sh", "-c", "x"}, ""},
		{"nothing", []string{"-auto"}, nil, "nothing to run"},
		{"both modes", []string{"-auto", "-test", "./bpf"}, nil, "-auto does not go with -test"},
		{"bad flag", []string{"-speed", "9"}, nil, "not defined"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parse(tt.args)
			if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Fatalf("error %v, want %q", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, o.args); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadReport(t *testing.T) {
	tests := []struct {
		name, port string
		want       []int
		wantErr    bool
	}{
		{"right", `{"Nonce":"n","Codes":[0,7]}` + "\n", []int{0, 7}, false},
		{"behind a forgery", `{"Nonce":"guess","Codes":[0]}` + "\n" + `{"Nonce":"n","Codes":[7]}` + "\n", []int{7}, false},
		{"forged", `{"Nonce":"guess","Codes":[0]}` + "\n", nil, true},
		{"forged without a nonce", `{"Codes":[0]}` + "\n", nil, true},
		{"cut off", `{"Nonce":"n","Codes":[0`, nil, true},
		{"empty", "", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			port := filepath.Join(t.TempDir(), "report")
			if err := os.WriteFile(port, []byte(tt.port), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := readReport(port, "n")
			if (err != nil) != tt.wantErr {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, r.Codes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	two := plan{Commands: []command{{Name: "a"}, {Name: "b"}}}
	tests := []struct {
		name    string
		report  report
		want    int
		wantErr bool
	}{
		{"all pass", report{Codes: []int{0, 0}}, 0, false},
		{"the second fails", report{Codes: []int{0, 2}}, 2, false},
		{"one did not run", report{Codes: []int{0}}, failed, true},
		{"set-up failed", report{Error: "mount /sys: no"}, failed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			got, err := verdict(two, tt.report, &out)
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("got %d, %v; want %d, error %v\n%s", got, err, tt.want, tt.wantErr, out.String())
			}
		})
	}
}

func TestImageDepends(t *testing.T) {
	const apt = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n  Suggests: other\n"
	m := imageDepends.FindStringSubmatch(apt)
	if len(m) != 2 || m[1] != "linux-image-6.1.0-56-cloud-amd64" {
		t.Errorf("got %q", m)
	}
}

func TestOpenImage(t *testing.T) {
	dir := t.TempDir()
	if _, err := openImage(dir); err == nil {
		t.Error("opened an empty directory")
	}
	for _, d := range []string{"boot", "lib/modules/6.1.0"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "boot/vmlinuz-6.1.0"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := openImage(dir)
	want := image{filepath.Join(dir, "boot/vmlinuz-6.1.0"), filepath.Join(dir, "lib/modules/6.1.0")}
	if err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestCopySpec(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tree := initramfs.New()
	for _, spec := range []string{file, file + ":/etc/renamed", "sh:/bin/shell"} {
		if err := copySpec(tree, spec); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{file, "/etc/renamed", "/bin/shell"} {
		if !tree.Has(name) {
			t.Errorf("%s is missing", name)
		}
	}
	for _, spec := range []string{"no-such-program", "/no/such/file:/x"} {
		if err := copySpec(tree, spec); err == nil {
			t.Errorf("copied %s", spec)
		}
	}
}
