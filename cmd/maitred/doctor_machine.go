// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

func checkBTF(h host) finding {
	if _, err := fs.Stat(h.root, "sys/kernel/btf/vmlinux"); err != nil {
		return finding{levelWarn, "BTF", "the kernel has none of its own", "use a kernel with CONFIG_DEBUG_INFO_BTF=y: bpftool then shows more"}
	}
	return finding{Level: levelOK, Check: "BTF", Found: "/sys/kernel/btf/vmlinux"}
}

func checkJIT(h host) finding {
	value, err := sysctl(h, "net.core.bpf_jit_enable")
	switch {
	case err != nil && !initialNetwork(h):
		return finding{levelWarn, "BPF JIT", "not to be found out from this network namespace",
			"look from the machine's own, which alone shows it: sysctl net.core.bpf_jit_enable there must be 1"}
	case err != nil:
		return finding{levelWarn, "BPF JIT", "not to be found out", "use a kernel with CONFIG_BPF_JIT=y: without it programs are interpreted"}
	case value == "0":
		return finding{levelWarn, "BPF JIT", "is off: programs are interpreted, several times slower", "sysctl -w net.core.bpf_jit_enable=1"}
	}
	return finding{Level: levelOK, Check: "BPF JIT", Found: "on"}
}

// initialNetwork tells whether this is the machine's own network namespace: the
// kernel shows this sysctl in no other (net/core/sysctl_net_core.c).
func initialNetwork(h host) bool {
	_, err := sysctl(h, "net.core.netdev_max_backlog")
	return err == nil
}

// checkBPFFS looks at the nearest folder above the pins that exists.
func checkBPFFS(h host, pins string) finding {
	at := nearest(h, pins)
	// Whose the mounts are cannot always be known: another network namespace
	// makes it likely that they are not the machine's.
	own := h.ownMounts() || !initialNetwork(h)
	if !h.isBPF(at) && !own {
		return finding{levelWarn, "bpffs", at + " is not on a BPF file system", "mount -t bpf bpffs /sys/fs/bpf (root does it itself at the start)"}
	}
	if !h.isBPF(at) {
		return finding{levelWarn, "bpffs", at + " is not on a BPF file system: if this process has mounts of its own, as in a container or under ip netns exec, pins end with the daemon",
			"mount it on the machine (mount -t bpf bpf /sys/fs/bpf) and share it with the container; in place of ip netns exec NAME take nsenter --net=/run/netns/NAME"}
	}
	return finding{Level: levelOK, Check: "bpffs", Found: at}
}

// nearest is the folder itself, or the first one above it that can be seen.
func nearest(h host, folder string) string {
	for folder != "/" && folder != "." {
		if _, err := fs.Stat(h.root, strings.TrimPrefix(folder, "/")); err == nil {
			break
		}
		folder = filepath.Dir(folder)
	}
	return folder
}

// checkPins asks whether this user may make the folder of pins, or write to it.
// It has nothing to say where there is no BPF file system yet.
func checkPins(h host, pins string) []finding {
	if !h.isBPF(nearest(h, pins)) {
		return nil
	}
	if err := h.mayWrite(pins); err != nil {
		return []finding{{levelFail, "pins", err.Error(), fmt.Sprintf(
			"as root: mkdir -p %s && chown USER %s && chmod go+x /sys/fs/bpf, with the daemon's user; or run it as root", pins, pins)}}
	}
	return []finding{{Level: levelOK, Check: "pins", Found: pins + " can be written by this user"}}
}
