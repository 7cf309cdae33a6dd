// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Release is the version of a kernel, without patch level.
type Release struct{ Major, Minor int }

// Version asks uname(2) for the running kernel.
func Version() (Release, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Release{}, fmt.Errorf("uname: %w", err)
	}
	return parseRelease(unix.ByteSliceToString(u.Release[:]))
}

func parseRelease(s string) (Release, error) {
	var r Release
	if _, err := fmt.Sscanf(s, "%d.%d", &r.Major, &r.Minor); err != nil {
		return Release{}, fmt.Errorf("parse kernel release %q: %w", s, err)
	}
	return r, nil
}

// Before says whether r is older than the given version.
func (r Release) Before(major, minor int) bool {
	return r.Major < major || r.Major == major && r.Minor < minor
}

// String returns for example "6.1".
func (r Release) String() string { return fmt.Sprintf("%d.%d", r.Major, r.Minor) }

// BPFFS is where the BPF file system is mounted.
const BPFFS = "/sys/fs/bpf"

// MountBPF mounts the BPF file system at BPFFS unless it is there already.
func MountBPF() error {
	var s unix.Statfs_t
	if err := unix.Statfs(BPFFS, &s); err != nil {
		return fmt.Errorf("stat %s: %w", BPFFS, err)
	}
	if s.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount("bpf", BPFFS, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpf at %s: %w", BPFFS, err)
	}
	return nil
}

// probeBPF loads the smallest program of the kind that maitred needs.
func probeBPF() error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.XDP,
		License:      "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("load an XDP program: %w", err)
	}
	return prog.Close()
}

// errNoIPVS says that this kernel has no IP Virtual Server.
var errNoIPVS = errors.New("kernel has no IPVS netlink family")

// HasIPVS says whether the kernel answers for the IPVS generic netlink family.
// The question itself makes a kernel that has IPVS as a module load it.
func HasIPVS() (bool, error) {
	err := probeIPVS()
	if errors.Is(err, errNoIPVS) {
		return false, nil
	}
	return err == nil, err
}

func probeIPVS() error {
	_, err := netlink.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		return errNoIPVS
	}
	if err != nil {
		return fmt.Errorf("ask for the IPVS netlink family: %w", err)
	}
	return nil
}
