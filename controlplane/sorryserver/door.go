// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// door is the socket of a process, which is opened by another name as long as the
// one before still serves.
type door struct {
	control *os.File // its listener
	place   *os.File // its place in the file system: tells whether it has a name
}

func openDoor(path string) (d door, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return d, fmt.Errorf("make room for a socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return d, fmt.Errorf("open the socket of the sorry server: %w", err)
	}
	l.SetUnlinkOnClose(false)
	defer func() { _ = l.Close() }() // File is another descriptor
	if err := os.Chmod(path, 0o600); err != nil {
		return d, fmt.Errorf("keep others from the socket of the sorry server: %w", err)
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return d, fmt.Errorf("find the socket of the sorry server: %w", err)
	}
	d.place = os.NewFile(uintptr(fd), path)
	if d.control, err = l.File(); err != nil {
		return d, errors.Join(fmt.Errorf("hand over the socket of the sorry server: %w", err), d.place.Close())
	}
	return d, nil
}

// close gives the descriptors back: the process has its own.
func (d door) close() {
	_ = d.control.Close()
	_ = d.place.Close()
}
