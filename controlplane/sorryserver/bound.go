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

// hide keeps others of the same user from looking into the process, and into its
// descriptors: before it has keys, and while they are in its standard input.
func hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide memory: %w", err)
	}
	return nil
}

// bound takes from the process what it does not need, so that whoever gets into it
// gets little: it has room for its clients and so many other descriptors, writes no
// files, not even of its memory, which holds keys. It returns how
// many clients there is room for, of as many as were asked for.
func bound(clients, descriptors int) (int, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("ask for the limit of descriptors: %w", err)
	}
	most := min(uint64(clients+descriptors), files.Max)
	if most <= uint64(descriptors) {
		return 0, fmt.Errorf("%d descriptors are allowed, %d are needed before the first client comes", files.Max, descriptors)
	}
	for _, limit := range []struct {
		resource int
		most     uint64
	}{{unix.RLIMIT_NOFILE, most}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_FSIZE, 0}} {
		if err := unix.Setrlimit(limit.resource, &unix.Rlimit{Cur: limit.most, Max: limit.most}); err != nil {
			return 0, fmt.Errorf("limit resource %d to %d: %w", limit.resource, limit.most, err)
		}
	}
	debug.SetMemoryLimit(mostMemory)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // who reads what it says may be gone
	return int(most) - descriptors, nil
}
