// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const bpffs = "/sys/fs/bpf"

// prepare makes dir, below the root of a BPF file system.
func prepare(dir string) error {
	if !onBPFFS(bpffs) {
		err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=700")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("mount a BPF file system on %s (CAP_SYS_ADMIN is needed, or mount -t bpf bpf %s beforehand): %w", bpffs, bpffs, err)
		}
	}
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
	if err := os.MkdirAll(filepath.Join(dir, linkFolder), 0o700); err != nil {
		return fmt.Errorf("make the folder for pinned maps: %w", err)
	}
	return nil
}

func onBPFFS(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && fs.Type == unix.BPF_FS_MAGIC
}

// own lists the names that this build pins in its folder, the folder of links
// among them.
func own(spec *ebpf.CollectionSpec) []string {
	names := []string{linkFolder}
	for name := range spec.Maps {
		names = append(names, name)
	}
	for name := range spec.Programs {
		names = append(names, name)
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
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, ErrLocked), f.Close())
	default:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
}
