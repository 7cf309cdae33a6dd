// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"fmt"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostMemory is what the process tries to get along with, in bytes: it collects
// garbage as often as that takes. The connections that it has at most need less.
const mostMemory = 192 << 20

// bound takes from the process what it does not need, so that whoever gets into it
// gets little: it has room for its clients and so many other descriptors, writes no
// files, not even of its memory, which holds keys, and cannot be looked into.
func bound(descriptors int) error {
	files := uint64(DefaultLimits().Connections + descriptors)
	for resource, most := range map[int]uint64{
		unix.RLIMIT_NOFILE: files, unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("limit resource %d to %d: %w", resource, most, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide memory: %w", err)
	}
	debug.SetMemoryLimit(mostMemory)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // who reads what it says may be gone
	return nil
}
