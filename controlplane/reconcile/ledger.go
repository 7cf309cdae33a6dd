// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// Ledger remembers, over a crash, what in the kernel is maitred's where the
// kernel itself does not tell: it is written before the effect that it
// announces, and forgets after the deletion. Methods may be called from any
// goroutine.
type Ledger struct {
	path string

	mu      sync.Mutex
	entries map[kind]map[string]string // guarded by mu
}

// kind is what an entry is about. An entry has a name and, for a setting, the
// value to give back.
type kind string

const (
	kindVirtual kind = "ipvs"
	kindAddress kind = "address"
	kindSetting kind = "setting"
)

// OpenLedger reads the ledger at path; the folder must exist. A missing file is
// an empty ledger. One that can't be read is an empty ledger and an error that
// is worth a warning: what it held is then no longer known to be ours.
func OpenLedger(path string) (*Ledger, error) {
	l := &Ledger{path: path, entries: map[kind]map[string]string{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l.entries)
	}
	if err == nil && l.entries == nil {
		err = errors.New("it says null")
	}
	if err != nil {
		l.entries = map[kind]map[string]string{}
		return l, fmt.Errorf("read the ledger %s: %w", path, err)
	}
	return l, nil
}

// Forwards tells whether something of IPVS is still ours, be it wanted or not.
func (l *Ledger) Forwards() bool {
	former := l.all(kindSetting)
	for name := range settings() {
		if _, ours := former[name]; ours {
			return true
		}
	}
	return len(l.all(kindVirtual)) > 0
}

// all returns a copy of the entries of a kind.
func (l *Ledger) all(k kind) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := maps.Clone(l.entries[k])
	if entries == nil {
		entries = map[string]string{}
	}
	return entries
}

// note enters the names that are not there, with one value for all, before they
// become true in the kernel.
func (l *Ledger) note(k kind, value string, names ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries[k] == nil {
		l.entries[k] = map[string]string{}
	}
	var added []string
	for _, name := range names {
		if _, known := l.entries[k][name]; !known {
			l.entries[k][name] = value
			added = append(added, name)
		}
	}
	if len(added) == 0 {
		return nil
	}
	err := l.save()
	if err != nil {
		for _, name := range added {
			delete(l.entries[k], name)
		}
	}
	return err
}

// forget strikes a name out after it is gone from the kernel.
func (l *Ledger) forget(k kind, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	value, known := l.entries[k][name]
	if !known {
		return nil
	}
	delete(l.entries[k], name)
	if err := l.save(); err != nil {
		l.entries[k][name] = value
		return err
	}
	return nil
}

// save replaces the file whole: a reader sees the old one or the new one. It
// need not outlive the machine, whose kernel forgets as well.
func (l *Ledger) save() error {
	text, err := json.MarshalIndent(l.entries, "", "  ")
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	next := filepath.Join(filepath.Dir(l.path), "."+filepath.Base(l.path)+".new")
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	if err := os.Rename(next, l.path); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}
