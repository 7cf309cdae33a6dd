// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestLock(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "run", "maitred.sock")
	first, err := Acquire(socket)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(socket)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != strconv.Itoa(os.Getpid()) || locked.Socket != socket {
		t.Errorf("second lock: %v, want one that names this process and the socket", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Acquire(socket)
	if err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

// Whoever can open the lock can hold it, and keep the daemon from its start.
func TestLockIsForItsOwnerAlone(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "maitred.sock")
	for _, before := range []os.FileMode{0, 0o644} { // none; that of an earlier version
		if before != 0 {
			if err := os.Chmod(socket+".lock", before); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Acquire(socket)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(socket + ".lock"); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

func TestLockedErrorNamesTheHolder(t *testing.T) {
	for pid, want := range map[string]string{
		"12": "another maitred (pid 12) runs on /x: stop it, or give this one a socket and a pin path of its own",
		"":   "another maitred runs on /x: stop it, or give this one a socket and a pin path of its own",
	} {
		if got := (&LockedError{Socket: "/x", PID: pid}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLockWithoutAPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(filepath.Join(file, "maitred.sock")); err == nil || !strings.Contains(err.Error(), "folder of lock") {
		t.Errorf("error %v, want one about the folder", err)
	}
}
