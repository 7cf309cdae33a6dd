// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/maitred-lb/maitred/bpf"
)

// DefaultPinPath is where the maps and programs are pinned unless told
// otherwise.
const DefaultPinPath = "/sys/fs/bpf/maitred"

// resetLimit is how many orphans each CPU resets in a tenth of a second.
const resetLimit = 1000

// Maps is what maitred has in the kernel. Its methods may be called from any
// goroutine; one process at a time may write.
type Maps struct {
	engine *bpf.Engine

	mu     sync.Mutex
	ids    map[Key]uint32    // of the services that have a row or are forwarded
	slots  map[PageID]uint32 // where each page is
	doomed map[PageID]bool   // deleted, but still the former page of a row
	// variants are the slots of each page's variants, by the page's own slot.
	variants map[uint32][]uint32
	common   map[PageID]uint32 // the slots of variants that all pages share

	absence bpf.DirectorAbsence // what every row says

	forwarded map[uint32]bool   // the ids that have a row in forwards
	stale     map[uint32]uint64 // those that may have flows of a service that is gone: which deletion it was
	deletions uint64            // of rows in forwards
	swept     uint64            // how many there had been when the last sweep began
	unswept   bool              // nobody has looked for flows of what was gone before

	rowOf      map[ServerID]uint16
	serverRows map[uint16]*serverRow
	lastRow    uint16
	ringOf     map[uint32]*ring // by id
	rings      map[ringSum]*ring

	sweeping sync.Mutex // held before mu
}

// Options says how large the tables of forwarding are to be.
type Options struct {
	Forwarding bool // else all of them are as small as can be
	Flows      int  // that there is room for, at 96 to 100 bytes each
	FullNAT    bool // its table takes as many rows, at 112 bytes each
}

// Open adopts what is pinned under pinPath, or makes it. What runs in the
// kernel goes on undisturbed. CAP_BPF and CAP_NET_ADMIN are needed.
func Open(pinPath string, o Options) (*Maps, error) {
	engine, err := bpf.Load(pinPath, bpf.Sizes(o))
	if err != nil {
		return nil, err
	}
	m := &Maps{
		engine: engine, unswept: true,
		ids: map[Key]uint32{}, slots: map[PageID]uint32{}, doomed: map[PageID]bool{},
		variants: map[uint32][]uint32{}, common: map[PageID]uint32{},
		forwarded: map[uint32]bool{}, stale: map[uint32]uint64{},
		rowOf: map[ServerID]uint16{}, serverRows: map[uint16]*serverRow{},
		ringOf: map[uint32]*ring{}, rings: map[ringSum]*ring{},
	}
	if err := m.adopt(); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return m, nil
}

// adopt notes what a process before this one has left in force.
func (m *Maps) adopt() error {
	if err := errors.Join(m.adoptPages(), m.adoptKeys()); err != nil {
		return err
	}
	return errors.Join(m.adoptLimit(), m.adoptServers(), m.adoptForwards())
}

// Close gives the descriptors back. All that is pinned stays in force.
func (m *Maps) Close() error { return errors.Join(m.closeRings(), m.engine.Close()) }

// Fleeting tells that what is pinned ends with this process, because the BPF file
// system is mounted in its mount namespace alone.
func (m *Maps) Fleeting() bool { return m.engine.Fleeting }

// Withdraw detaches the programs and unpins everything.
func (m *Maps) Withdraw() error { return m.engine.Withdraw() }

// RotateKey makes a new key for the cookies of new exchanges. The key before
// it stays valid until the next call, so that the time between two calls is the
// least that an exchange may last.
func (m *Maps) RotateKey() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var s bpf.DirectorSetting
	if err := m.engine.Settings.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("read the cookie keys: %w", err)
	}
	next := 1 - s.Current&1
	s.Keys[next] = newKey()
	// The kernel copies a value word by word: the key must be whole before
	// anything is made with it.
	if err := m.engine.Settings.Put(uint32(0), s); err != nil {
		return fmt.Errorf("write a cookie key: %w", err)
	}
	s.Current = next
	if err := m.engine.Settings.Put(uint32(0), s); err != nil {
		return fmt.Errorf("change the cookie key: %w", err)
	}
	return nil
}

func newKey() bpf.DirectorCookieKey {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return bpf.DirectorCookieKey{
		K0: binary.NativeEndian.Uint64(b[:8]),
		K1: binary.NativeEndian.Uint64(b[8:]),
	}
}

// adoptKeys leaves keys that are there in force: exchanges in flight depend on
// them.
func (m *Maps) adoptKeys() error {
	var s bpf.DirectorSetting
	if err := m.engine.Settings.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("read the cookie keys: %w", err)
	}
	if s.Keys[0] == (bpf.DirectorCookieKey{}) {
		s.Keys = [2]bpf.DirectorCookieKey{newKey(), newKey()}
	}
	s.ResetLimit = resetLimit
	if err := m.engine.Settings.Put(uint32(0), s); err != nil {
		return fmt.Errorf("write the cookie keys: %w", err)
	}
	return nil
}

// adoptRows notes the rows that are there, and marks the pages that none of them
// begins new exchanges with: the process that put them is gone and nobody will
// delete them.
func (m *Maps) adoptRows() error {
	rows, err := m.rows()
	if err != nil {
		return err
	}
	for key, row := range rows {
		m.ids[keyFrom(key)] = row.Id
		m.absence = row.Absence // the same in all of them
	}
	for id, slot := range m.slots {
		m.doomed[id] = true
		for _, row := range rows {
			if row.Page[row.Current&1] == slot {
				delete(m.doomed, id)
			}
		}
	}
	return m.bury(rows)
}
