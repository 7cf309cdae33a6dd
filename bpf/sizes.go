// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Sizes says how large the tables of forwarding are to be.
type Sizes struct {
	Forwarding bool // else all of them have one row
	Flows      int  // that there is room for; 0: as tables.h says
	FullNAT    bool // its table has as many rows
}

// What is fresh gets an eighth of the flows' room, and no less than this: what
// one CPU takes from a table at a time must be little of it.
const freshShare, freshLeast = 8, 4096

// FreshRows is how many rows the table of fresh flows has beside one of so many.
func FreshRows(flows int) int { return max(freshLeast, flows/freshShare) }

// withoutForwarding is the size of each table that nobody needs.
const withoutForwarding = 1

// apply sizes the tables in the spec.
func (s Sizes) apply(spec *ebpf.CollectionSpec) {
	if !s.Forwarding {
		for _, name := range sized() {
			spec.Maps[name].MaxEntries = withoutForwarding
		}
		return
	}
	if s.Flows > 0 {
		spec.Maps[DirectorMapFlows].MaxEntries = uint32(s.Flows)
	}
	flows := spec.Maps[DirectorMapFlows].MaxEntries
	spec.Maps[DirectorMapFresh].MaxEntries = uint32(FreshRows(int(flows)))
	spec.Maps[DirectorMapBindings].MaxEntries = withoutForwarding
	if s.FullNAT {
		spec.Maps[DirectorMapBindings].MaxEntries = flows
	}
}

// sized lists the tables whose size depends on Sizes. Those that name a row of
// another come before that other: a Load that was cut short must leave no flow
// behind whose server is forgotten. What is fresh comes first, since flows move
// on from there meanwhile.
func sized() []string {
	return []string{
		DirectorMapFresh, DirectorMapFlows, DirectorMapBindings, DirectorMapFragments, DirectorMapPathMtus,
		DirectorMapBacks, DirectorMapMarks, DirectorMapForwards, DirectorMapRings, DirectorMapTurns, DirectorMapUnnoted,
		DirectorMapServers, DirectorMapTallies, DirectorMapRoutes, DirectorMapDevices,
	}
}

// resize replaces the pinned tables that are not of the size in the spec.
func resize(dir string, spec *ebpf.CollectionSpec) error {
	// What a Load that was cut short has left.
	if err := os.Remove(filepath.Join(dir, nextPin)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin a table that was not finished: %w", err)
	}
	forwards, err := stillForwards(dir, spec.Maps[DirectorMapForwards])
	if err != nil {
		return err
	}
	for _, name := range sized() {
		if forwards {
			if err := keepSize(dir, spec.Maps[name]); err != nil {
				return err
			}
		}
		if err := resizeTable(dir, spec.Maps[name]); err != nil {
			return fmt.Errorf("resize table %s: %w", name, err)
		}
	}
	return nil
}

// stillForwards tells whether tables that are not needed any more have services
// in them. They are to go on until whoever forwards now has taken them over, and
// go with the next Load.
func stillForwards(dir string, want *ebpf.MapSpec) (bool, error) {
	if want.MaxEntries != withoutForwarding {
		return false, nil
	}
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, want.Name), nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open table %s: %w", want.Name, err)
	}
	defer m.Close()
	if m.ValueSize() != want.ValueSize {
		return false, nil // loading will say so
	}
	var id uint32
	var row DirectorForward
	rows := m.Iterate()
	for rows.Next(&id, &row) {
		if row.Service != (DirectorEndpoint{}) {
			return true, nil
		}
	}
	return false, rows.Err()
}

// keepSize wants a table in the size that it has.
func keepSize(dir string, want *ebpf.MapSpec) error {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, want.Name), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open table %s: %w", want.Name, err)
	}
	defer m.Close()
	want.MaxEntries = m.MaxEntries()
	return nil
}

// nextPin is where a table is until it takes the place of another.
const nextPin = "next"

// resizeTable leaves a table alone that differs in more than its size, or whose
// size ought to be fixed: loading will say so.
func resizeTable(dir string, want *ebpf.MapSpec) error {
	path := filepath.Join(dir, want.Name)
	old, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	same := want.Copy()
	same.MaxEntries = old.MaxEntries()
	if old.MaxEntries() == want.MaxEntries || same.Compatible(old) != nil || !resizable(want, old.MaxEntries()) {
		return nil
	}
	same.MaxEntries, same.Pinning = want.MaxEntries, ebpf.PinNone
	next, err := ebpf.NewMap(same)
	if err != nil {
		return err
	}
	defer next.Close()
	if want.MaxEntries != withoutForwarding {
		if err := carryOver(want.Name, old, next); err != nil {
			return err
		}
	}
	pin := filepath.Join(dir, nextPin)
	if err := next.Pin(pin); err != nil {
		return err
	}
	return os.Rename(pin, path) // in one step, be there one or not
}

// resizable tells whether a table may change from a size. Rows that others name
// by their number come and go with forwarding as a whole.
func resizable(want *ebpf.MapSpec, size uint32) bool {
	switch want.Name {
	case DirectorMapFlows, DirectorMapFresh, DirectorMapBindings:
		return true
	default:
		return size == withoutForwarding || want.MaxEntries == withoutForwarding
	}
}

// carryOver copies what is in a table of flows. What the programs that still run
// note meanwhile may be missing. Of the others nothing is worth it.
func carryOver(name string, old, next *ebpf.Map) error {
	switch name {
	case DirectorMapFlows, DirectorMapFresh:
		return copyRows[DirectorFlowKey, DirectorFlow](old, next)
	case DirectorMapBindings:
		return copyRows[DirectorBindingKey, DirectorBinding](old, next)
	default:
		return nil
	}
}

func copyRows[K, V any](from, to *ebpf.Map) error {
	const batch = 8192 // more than any bucket holds
	keys, values := make([]K, batch), make([]V, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := from.BatchLookup(&cursor, keys, values, nil)
		last := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !last {
			return fmt.Errorf("read %d rows: %w", batch, err)
		}
		if err := putRows(to, keys[:n], values[:n]); err != nil || last {
			return err
		}
	}
}

// putRows leaves out rows that the kernel has no room for just now: other CPUs
// may hold what is free.
func putRows[K, V any](to *ebpf.Map, keys []K, values []V) error {
	for len(keys) > 0 {
		n, err := to.BatchUpdate(keys, values, nil)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.ENOMEM) || n >= len(keys) {
			return fmt.Errorf("write %d rows: %w", len(keys), err)
		}
		keys, values = keys[n+1:], values[n+1:]
	}
	return nil
}
