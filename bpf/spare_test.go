// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
)

// spare are rigs that no test has at the moment, as if they were new.
var spare struct {
	sync.Mutex
	rigs []*rig
}

func spareRig(t testing.TB) *rig {
	t.Helper()
	spare.Lock()
	defer spare.Unlock()
	n := len(spare.rigs)
	if n == 0 {
		return nil
	}
	r := spare.rigs[n-1]
	spare.rigs = spare.rigs[:n-1]
	return r
}

// clear makes a rig as it was when it was loaded. Rings stay: without a row in
// forwards nobody looks at them.
func (r *rig) clear(t testing.TB) {
	t.Helper()
	r.in = nil
	slices.Sort(r.slots)
	for _, slot := range slices.Compact(r.slots) {
		if err := r.Pages.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
	}
	r.slots = nil
	maps := reflect.ValueOf(r.DirectorMaps)
	for i := range maps.NumField() {
		m, ok := maps.Field(i).Interface().(*ebpf.Map)
		if !ok {
			t.Fatalf("%s is no map", maps.Type().Field(i).Name)
		}
		if err := empty(m); err != nil {
			t.Fatalf("clear %s: %v", maps.Type().Field(i).Name, err)
		}
	}
}

// empty deletes the rows of a hash and zeroes those of an array. Pages and rings
// are neither.
func empty(m *ebpf.Map) error {
	switch kind := m.Type(); {
	case kind == ebpf.Hash || kind == ebpf.LRUHash:
		return deleteAll(m)
	case kind == ebpf.Array && m.Flags()&readOnly == 0:
		return zero(m, 1)
	case kind == ebpf.PerCPUArray:
		return zero(m, ebpf.MustPossibleCPU())
	}
	return nil
}

func deleteAll(m *ebpf.Map) error {
	for {
		key, err := m.NextKeyBytes(nil)
		if err != nil || key == nil {
			return err
		}
		if err := m.Delete(key); err != nil {
			return err
		}
	}
}

// readOnly is BPF_F_RDONLY_PROG: constants of the programs.
const readOnly = 1 << 7

// zero writes all rows at once: one by one they would take longer than most tests.
func zero(m *ebpf.Map, cpus int) error {
	rows := int(m.MaxEntries())
	keys := make([]uint32, rows)
	for i := range keys {
		keys[i] = uint32(i)
	}
	row := reflect.ArrayOf(int(m.ValueSize()), reflect.TypeFor[byte]())
	_, err := m.BatchUpdate(keys, reflect.MakeSlice(reflect.SliceOf(row), rows*cpus, rows*cpus).Interface(), nil)
	return err
}
