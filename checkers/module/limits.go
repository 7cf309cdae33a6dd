// SPDX-License-Identifier: Apache-2.0

package module

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mostFiles is how many descriptors a module may have.
const mostFiles = 4096

// Limit bounds what this process may take: memory is in bytes. It is for the
// processes of modules: a process may always bound itself, and the daemon may not
// bound one of another user without CAP_SYS_RESOURCE.
func Limit(memory uint64) error {
	for _, l := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
		{"RLIMIT_DATA", unix.RLIMIT_DATA, memory},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, mostFiles},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("get %s: %w", l.name, err)
		}
		value := min(l.value, now.Max)
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("set %s to %d: %w", l.name, value, err)
		}
	}
	return nil
}
