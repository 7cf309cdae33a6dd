// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// batchSize is how many rows are read or deleted at a time: more than any bucket
// of a hash table holds, and few enough that what is read is still so when it is
// acted upon.
const batchSize = 4096

// readArray reads all rows of an array in one go: one by one it takes 100 times
// as long.
func readArray[V any](m *ebpf.Map) ([]V, error) {
	keys, values := make([]uint32, m.MaxEntries()), make([]V, m.MaxEntries())
	var cursor ebpf.MapBatchCursor
	n, err := m.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, err
	}
	if n != len(values) {
		return nil, fmt.Errorf("%d of %d rows", n, len(values))
	}
	return values, nil
}

// eachBatch reads a hash table while it changes: what is there all the time is
// read once or, if its bucket changes, twice. It does not count as a use of it.
// visit may keep neither slice, and tells whether to go on.
func eachBatch[K, V any](m *ebpf.Map, visit func([]K, []V) (bool, error)) error {
	size := min(batchSize, int(m.MaxEntries())+1)
	keys, values := make([]K, size), make([]V, size)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		last := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !last {
			return err
		}
		if on, err := visit(keys[:n], values[:n]); err != nil || !on || last {
			return err
		}
	}
}

// deleteAll deletes rows, those that are gone already too.
func deleteAll[K any](m *ebpf.Map, keys []K) error {
	for len(keys) > 0 {
		n, err := m.BatchDelete(keys, nil)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, ebpf.ErrKeyNotExist) || n >= len(keys):
			return err
		}
		keys = keys[n+1:]
	}
	return nil
}

// zeroes is a row of a per-CPU map that is zero for each of them.
func zeroes[V any]() ([]V, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	return make([]V, cpus), nil
}

// deleteRow deletes a row; it is no error if it is gone.
func deleteRow(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
