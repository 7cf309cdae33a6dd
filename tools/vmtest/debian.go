// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// metaPackage depends on Debian's newest cloud kernel of its release.
const metaPackage = "linux-image-cloud-amd64"

// image is an unpacked kernel package.
type image struct {
	vmlinuz string
	modules string // its /lib/modules/VERSION
}

// findKernel resolves the flag -kernel.
func findKernel(ctx context.Context, flag string) (image, error) {
	if flag != "auto" {
		return openImage(flag)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return image{}, fmt.Errorf("find the cache directory: %w", err)
	}
	cache = filepath.Join(cache, "maitred", "kernel")
	if cached, err := filepath.Glob(filepath.Join(cache, "linux-image-*")); err == nil && len(cached) > 0 {
		return openImage(slices.Max(cached))
	}
	dir, err := fetchKernel(ctx, cache)
	if err != nil {
		return image{}, fmt.Errorf("fetch Debian's kernel: %w", err)
	}
	return openImage(dir)
}

func openImage(dir string) (image, error) {
	kernels, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return image{}, fmt.Errorf("open kernel %s: %d files boot/vmlinuz-* in it, want 1", dir, len(kernels))
	}
	version := filepath.Base(kernels[0])[len("vmlinuz-"):]
	modules := filepath.Join(dir, "lib", "modules", version)
	if _, err := os.Stat(modules); err != nil {
		return image{}, fmt.Errorf("open kernel %s: %w", dir, err)
	}
	return image{kernels[0], modules}, nil
}

// fetchKernel downloads and unpacks the package without installing it. It
// appears in the cache whole or not at all.
func fetchKernel(ctx context.Context, cache string) (string, error) {
	name, err := kernelPackage(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	fmt.Fprintf(os.Stderr, "vmtest: downloading %s\n", name)
	if _, err := output(ctx, work, "apt-get", "download", name); err != nil {
		return "", err
	}
	packages, err := filepath.Glob(filepath.Join(work, name+"_*.deb"))
	if err != nil || len(packages) != 1 {
		return "", fmt.Errorf("apt-get download left %d files %s_*.deb, want 1", len(packages), name)
	}
	tree := filepath.Join(work, "tree")
	if _, err := output(ctx, work, "dpkg-deb", "-x", packages[0], tree); err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name)
	if err := os.Rename(tree, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another process was faster
		return "", err
	}
	return dir, nil
}

// kernelPackage asks apt which package the meta package stands for, and
// updates its lists when it has not heard of it.
func kernelPackage(ctx context.Context) (string, error) {
	if name, err := dependency(ctx); err == nil {
		return name, nil
	}
	if _, err := output(ctx, "", "apt-get", "update"); err != nil {
		return "", err
	}
	return dependency(ctx)
}

var imageDepends = regexp.MustCompile(`(?m)^ *Depends: (linux-image-[0-9][^ \n]*)$`)

func dependency(ctx context.Context) (string, error) {
	out, err := output(ctx, "", "apt-cache", "depends", metaPackage)
	if err != nil {
		return "", err
	}
	m := imageDepends.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("apt-cache names no kernel that %s depends on: got %q", metaPackage, out)
	}
	return string(m[1]), nil
}

func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %v: %w: %s", name, args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
