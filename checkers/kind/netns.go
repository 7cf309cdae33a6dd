// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespaces is where ip-netns(8) keeps the network namespaces that have names.
const Namespaces = "/run/netns"

// enter takes the calling goroutine into a network namespace, for the time of
// making a socket: this stays inside, whoever uses it. The caller calls leave,
// which does nothing from the second time on.
func enter(name string) (leave func() error, err error) {
	inside, err := unix.Open(filepath.Join(Namespaces, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, &fault{fmt.Errorf("network namespace %s: %w", name, err), "the director has none of that name (ip netns list)"}
	}
	if err != nil {
		return nil, &fault{fmt.Errorf("open network namespace %s: %w", name, err), "the director may not"}
	}
	defer func() { _ = unix.Close(inside) }()
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, os.NewSyscallError("open /proc/thread-self/ns/net", err)
	}
	leave = func() error {
		if home < 0 {
			return nil
		}
		err := unix.Setns(home, unix.CLONE_NEWNET)
		_ = unix.Close(home)
		home = -1
		if err != nil { // the thread stays the goroutine's, and ends with it
			return &fault{os.NewSyscallError("setns", err), "restart the director"}
		}
		runtime.UnlockOSThread()
		return nil
	}
	if err := unix.Setns(inside, unix.CLONE_NEWNET); err != nil {
		// The thread has not left. Who may not enter may not come back either: leave
		// would fail, and cost a thread in every run.
		_ = unix.Close(home)
		runtime.UnlockOSThread()
		return nil, &fault{fmt.Errorf("enter network namespace %s: %w", name, os.NewSyscallError("setns", err)), "that needs CAP_SYS_ADMIN"}
	}
	return leave, nil
}
