// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// overrides is the file of what operators have said of services. It is in the
// folder of state and not beside the ledger: the ledger is about a kernel and may go
// with it, an operator who has closed a service wants it closed after a boot, too.
type overrides struct {
	path string
	kept map[string]state.Override // what the file holds
}

// overridesFile is named after the folder of pins, which is one daemon's alone.
func overridesFile(cfg *config.Config) string {
	return filepath.Join(cfg.Director.StateDir, "overrides"+strings.ReplaceAll(cfg.Director.PinPath, "/", "-")+".json")
}

// openOverrides reads the file; one that is missing holds nothing. One that can't be
// read or makes no sense is put aside, so that nothing of it is lost, and is an
// error that is worth telling: nothing is known to be said then.
func openOverrides(path string) (*overrides, error) {
	o := &overrides{path: path, kept: map[string]state.Override{}}
	kept, err := readOverrides(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o, nil
	case err == nil:
		o.kept = kept
		return o, nil
	}
	aside := path + ".damaged"
	if moved := os.Rename(path, aside); moved != nil {
		return o, fmt.Errorf("what operators have said of services is not known, and cannot be put aside: %w", errors.Join(err, moved))
	}
	return o, fmt.Errorf("what operators have said of services is not known, say it again; the file is now %s: %w", aside, err)
}

func readOverrides(path string) (map[string]state.Override, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kept map[string]state.Override
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for name, o := range kept {
		if err := o.Check(); err != nil {
			return nil, fmt.Errorf("read %s: service %q: %w", path, name, err)
		}
	}
	return kept, nil
}

// keep writes what is said, unless that is in the file already. A reader, and
// whoever comes after a loss of power, finds the file before or the file after.
func (o *overrides) keep(said map[string]state.Override) error {
	if maps.Equal(said, o.kept) {
		return nil
	}
	text, err := json.MarshalIndent(said, "", "  ")
	if err != nil {
		return fmt.Errorf("keep what is said of services: %w", err)
	}
	if err := replaceFile(o.path, append(text, '\n')); err != nil {
		return fmt.Errorf("keep what is said of services: %w", err)
	}
	o.kept = maps.Clone(said)
	return nil
}

// replaceFile puts a file in the place of another, in a folder that need not be
// there. At any time one of the two is there, whole.
func replaceFile(path string, text []byte) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of state: %w", err)
	}
	next := filepath.Join(folder, "."+filepath.Base(path)+".new")
	if err := writeThrough(next, text); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncFolder(folder)
}

// writeThrough writes a file to the disk.
func writeThrough(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
