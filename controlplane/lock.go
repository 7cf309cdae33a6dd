// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockMode keeps all others from opening the file: whoever can, can lock it.
const lockMode = 0o600

// Lock is the right to be the one daemon behind a socket. The kernel takes it
// back when the process ends, however it ends.
type Lock struct{ file *os.File }

// LockedError is returned when another daemon holds the lock.
type LockedError struct {
	Socket string
	PID    string // empty if it could not be read
}

// Error implements error.
func (e *LockedError) Error() string {
	holder := ""
	if e.PID != "" {
		holder = " (pid " + e.PID + ")"
	}
	return fmt.Sprintf("another maitred%s runs on %s: stop it, or give this one a socket and a pin path of its own", holder, e.Socket)
}

// Acquire takes the lock of a socket, a file beside it which holds the
// daemon's pid. It does not wait.
func Acquire(socket string) (*Lock, error) {
	path := socket + ".lock"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, lockMode)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := f.Chmod(lockMode); err != nil { // an earlier version made it wider
		return nil, errors.Join(fmt.Errorf("set mode of lock: %w", err), f.Close())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			pid, _ := io.ReadAll(io.LimitReader(f, 16)) // an empty pid says enough
			return nil, &LockedError{Socket: socket, PID: strings.TrimSpace(string(pid))}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write pid to lock: %w", err), f.Close())
	}
	return &Lock{file: f}, nil
}

// Release gives the lock back. The file stays: to remove it would let two
// daemons lock two files of one name.
func (l *Lock) Release() error { return l.file.Close() }

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}
