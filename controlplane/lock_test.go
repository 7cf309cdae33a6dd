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

func TestLockWithoutAPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(filepath.Join(file, "maitred.sock")); err == nil || !strings.Contains(err.Error(), "folder of lock") {
		t.Errorf("error %v, want one about the folder", err)
	}
}
