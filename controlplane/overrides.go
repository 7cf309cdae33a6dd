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
)

// overrides is the file of what operators have said of services or of servers. It is in
// the folder of state and not beside the ledger: the ledger is about a kernel and may go
// with it, an operator who has closed a service wants it closed after a boot, too.
type overrides[K comparable, V word] struct {
	path string
	of   string  // what it is said of: services, servers
	kept map[K]V // what the file holds
}

// word is what an operator can say.
type word interface {
	comparable
	Check() error
}

// overridesFile is named after the folder of pins, which is one daemon's alone; so is
// serverOverridesFile.
func overridesFile(cfg *config.Config) string { return stateFile(cfg, "overrides") }

func serverOverridesFile(cfg *config.Config) string { return stateFile(cfg, "server-overrides") }

func stateFile(cfg *config.Config, name string) string {
	return filepath.Join(cfg.Director.StateDir, name+strings.ReplaceAll(cfg.Director.PinPath, "/", "-")+".json")
}

// openOverrides reads the file; one that is missing holds nothing. One that can't be
// read or makes no sense is put aside, so that nothing of it is lost, and is an
// error that is worth telling: nothing is known to be said then.
func openOverrides[K comparable, V word](path, of string) (*overrides[K, V], error) {
	o := &overrides[K, V]{path: path, of: of, kept: map[K]V{}}
	kept, err := readOverrides[K, V](path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o, nil
	case err == nil:
		o.kept = kept
		return o, nil
	}
	aside := path + ".damaged"
	if moved := os.Rename(path, aside); moved != nil {
		return o, fmt.Errorf("what operators have said of %s is not known, and cannot be put aside: %w", of, errors.Join(err, moved))
	}
	return o, fmt.Errorf("what operators have said of %s is not known, say it again; the file is now %s: %w", of, aside, err)
}

func readOverrides[K comparable, V word](path string) (map[K]V, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kept map[K]V
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for name, o := range kept {
		if err := o.Check(); err != nil {
			return nil, fmt.Errorf("read %s: %q: %w", path, fmt.Sprint(name), err)
		}
	}
	return kept, nil
}

// keep writes what is said, unless that is in the file already. A reader, and
// whoever comes after a loss of power, finds the file before or the file after.
func (o *overrides[K, V]) keep(said map[K]V) error {
	if maps.Equal(said, o.kept) {
		return nil
	}
	text, err := json.MarshalIndent(said, "", "  ")
	if err != nil {
		return fmt.Errorf("keep what is said of %s: %w", o.of, err)
	}
	if err := replaceFile(o.path, append(text, '\n')); err != nil {
		return fmt.Errorf("keep what is said of %s: %w", o.of, err)
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
