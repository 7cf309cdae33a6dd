// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/tools/vmtest/initramfs"
)

// addTests compiles the tests of packages, and puts each binary with its
// testdata directory into the tree.
func addTests(ctx context.Context, tree *initramfs.Archive, o options, work string) ([]command, error) {
	patterns, flags := o.args, []string(nil)
	if i := slices.Index(o.args, "--"); i >= 0 {
		patterns, flags = o.args[:i], o.args[i+1:]
	}
	packages, err := listTests(ctx, patterns)
	if err != nil {
		return nil, err
	}
	var commands []command
	for i, p := range packages {
		dir := filepath.Join("/src", p.path)
		binary := filepath.Join(dir, filepath.Base(p.path)+".test")
		host := filepath.Join(work, fmt.Sprintf("%d.test", i))
		if err := compileTest(ctx, p.path, host); err != nil {
			return nil, err
		}
		if err := tree.Copy(host, binary); err != nil {
			return nil, err
		}
		if err := os.Remove(host); err != nil {
			return nil, fmt.Errorf("add tests of %s: %w", p.path, err)
		}
		testdata := filepath.Join(p.dir, "testdata")
		if err := tree.Copy(testdata, filepath.Join(dir, "testdata")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		// Less than the whole, so that a test that hangs shows where.
		limit := fmt.Sprintf("-test.timeout=%v", o.timeout*2/3)
		commands = append(commands, command{Name: p.path, Dir: dir, Args: append([]string{binary, limit}, flags...)})
	}
	return commands, nil
}

type testPackage struct{ path, dir string }

// listTests finds the packages that have tests. That none has is an error.
func listTests(ctx context.Context, patterns []string) ([]testPackage, error) {
	const format = `{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}`
	out, err := output(ctx, "", "go", append([]string{"list", "-f", format}, patterns...)...)
	if err != nil {
		return nil, err
	}
	var packages []testPackage
	for line := range bytes.Lines(out) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(string(line)), " "); ok {
			packages = append(packages, testPackage{path, dir})
		}
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("no tests in %v", patterns)
	}
	return packages, nil
}

func compileTest(ctx context.Context, path, binary string) error {
	_, err := output(ctx, "", "env", "CGO_ENABLED=0", "go", "test", "-c", "-o", binary, path)
	return err
}
