// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const bpffs = "/sys/fs/bpf"

// prepare makes dir, below the root of a BPF file system. It tells whether what
// is pinned there will go with this process: where it has to mount the file
// system itself, in a mount namespace that is not the machine's.
func prepare(dir string) (fleeting bool, err error) {
	if !onBPFFS(bpffs) {
		err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=700")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("mount a BPF file system on %s (CAP_SYS_ADMIN is needed, or mount -t bpf bpf %s beforehand): %w", bpffs, bpffs, err)
		}
		fleeting = err == nil && !inMachinesMounts()
	}
	return fleeting, makeFolder(dir)
}

// inMachinesMounts tells whether this process has the mounts of process 1. Where
// that can't be known it says so.
func inMachinesMounts() bool {
	ours, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return true
	}
	machines, err := os.Readlink("/proc/1/ns/mnt")
	return err != nil || ours == machines
}

func makeFolder(dir string) error {
	above := filepath.Dir(dir)
	for exists := false; !exists; {
		_, err := os.Stat(above)
		if exists = !errors.Is(err, os.ErrNotExist); !exists {
			above = filepath.Dir(above)
		}
	}
	if !onBPFFS(above) {
		return fmt.Errorf("%s is not a folder in a BPF file system: choose one such as %s/maitred", dir, bpffs)
	}
	err := os.MkdirAll(filepath.Join(dir, linkFolder), 0o700)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("make the folder for pinned maps (make %s beforehand and give it to this user, who must be able to traverse %s too, or run as root): %w", dir, bpffs, err)
	}
	if err != nil {
		return fmt.Errorf("make the folder for pinned maps: %w", err)
	}
	return nil
}

func onBPFFS(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Type == unix.BPF_FS_MAGIC
}

// own lists the names that this build may have pinned in its folder, the folder of
// links among them.
func own(spec *ebpf.CollectionSpec) []string {
	names := append(pinned(spec), linkFolder, nextPin)
	for name := range spec.Programs {
		names = append(names, name)
	}
	return names
}

// pinned lists the maps that outlive a build: not those of the compiler, of what
// is constant, whose names no BPF file system takes.
func pinned(spec *ebpf.CollectionSpec) (names []string) {
	for name := range spec.Maps {
		if !strings.Contains(name, dot) {
			names = append(names, name)
		}
	}
	return names
}

// checkOwn refuses a folder that holds what is somebody else's: to withdraw
// would take it away.
func checkOwn(dir string, spec *ebpf.CollectionSpec) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into the folder for pinned maps: %w", err)
	}
	names := own(spec)
	for _, entry := range entries {
		if !slices.Contains(names, entry.Name()) {
			return fmt.Errorf("%s holds %s, which is not of this version of maitred: choose a folder of its own", dir, entry.Name())
		}
	}
	return nil
}

// lockFolder keeps a second process out. The lock goes with the process.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder for pinned maps: %w", err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("%s: %w: stop it, or give this one a pin_path of its own", dir, ErrLocked), f.Close())
	default:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
}
