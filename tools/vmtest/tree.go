// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/tools/vmtest/initramfs"
)

// modules are what maitred, its tests and its demo may need of the kernel;
// patterns as of path.Match.
func modulePatterns() []string {
	return []string{
		"veth", "dummy", "8021q", "bridge", "bonding", "tun", "macvlan",
		"ip_vs*", "nf_conntrack", "nf_defrag_ipv[46]",
		"ipip", "sit", "ip6_tunnel", "ip_tunnel", "fou", "fou6", "ip_gre", "ip6_gre", "pktgen",
		"sch_ingress", "sch_netem", "cls_bpf", "act_bpf", "act_mirred", "act_gact",
		"xfrm_user", "nf_tables", "nft_ct", "nft_nat", "nft_masq",
	}
}

// addModules puts the modules into the tree and returns them in loading order.
func addModules(tree *initramfs.Archive, dir string) ([]string, error) {
	m, err := initramfs.OpenModules(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, pattern := range modulePatterns() {
		matches, err := m.Glob(strings.ReplaceAll(pattern, "-", "_"))
		if err != nil {
			return nil, err
		}
		if len(matches) == 0 { // built in, or an error that Resolve reports
			matches = []string{pattern}
		}
		slices.Sort(matches)
		names = append(names, matches...)
	}
	files, err := m.Resolve(names...)
	if err != nil {
		return nil, err
	}
	for i, file := range files {
		files[i] = "/lib/modules/" + filepath.Base(file)
		if err := tree.Copy(file, files[i]); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addCommands puts what the command line wants to run into the tree.
func addCommands(ctx context.Context, tree *initramfs.Archive, o options, work string) ([]command, error) {
	if o.test {
		return addTests(ctx, tree, o, work)
	}
	path, err := exec.LookPath(o.args[0])
	if err != nil {
		return nil, fmt.Errorf("find the command: %w", err)
	}
	name := "/usr/local/bin/" + filepath.Base(path)
	if err := tree.Copy(path, name); err != nil {
		return nil, err
	}
	return []command{{Name: o.args[0], Dir: "/root", Args: append([]string{name}, o.args[1:]...)}}, nil
}

// pack completes the tree with /init, the plan, the user's files and what a
// small Linux system has, and writes it.
func pack(tree *initramfs.Archive, p plan, files []string, initrd string) error {
	for _, f := range files {
		if err := copySpec(tree, f); err != nil {
			return err
		}
	}
	for name, data := range map[string]string{
		"/etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"/etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
	} {
		tree.File(name, 0o644, []byte(data))
	}
	tree.Dir("/root")
	if busybox, err := exec.LookPath("busybox"); err == nil {
		if err := tree.Copy(busybox, "/bin/busybox"); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := tree.Copy(self, "/init"); err != nil {
		return err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	tree.File(planFile, 0o600, data)
	out, err := os.Create(initrd)
	if err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	_, err = tree.WriteTo(out)
	return errors.Join(err, out.Close())
}

// copySpec copies host[:guest]. A name without a slash is looked for on PATH.
func copySpec(tree *initramfs.Archive, spec string) error {
	host, guest, given := strings.Cut(spec, ":")
	if !strings.Contains(host, "/") {
		path, err := exec.LookPath(host)
		if err != nil {
			return fmt.Errorf("-file %s: %w", spec, err)
		}
		host = path
	}
	if !given {
		path, err := filepath.Abs(host)
		if err != nil {
			return fmt.Errorf("-file %s: %w", spec, err)
		}
		guest = path
	}
	if err := tree.Copy(host, guest); err != nil {
		return fmt.Errorf("-file %s: %w", spec, err)
	}
	return nil
}
