// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

func sizesOf(m *Maps) map[string]uint32 {
	e := m.engine
	return map[string]uint32{
		"flows": e.Flows.MaxEntries(), "fresh": e.Fresh.MaxEntries(), "bindings": e.Bindings.MaxEntries(),
		"servers": e.Servers.MaxEntries(), "rings": e.Rings.MaxEntries(), "fragments": e.Fragments.MaxEntries(),
	}
}

// TestSizesFollowTheOptions opens the same folder with one after the other.
func TestSizesFollowTheOptions(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, Options{})
	off := map[string]uint32{"flows": 1, "fresh": 1, "bindings": 1, "servers": 1, "rings": 1, "fragments": 1}
	on := func(flows, fresh, bindings uint32) map[string]uint32 {
		return map[string]uint32{
			"flows": flows, "fresh": fresh, "bindings": bindings, "servers": 16384, "rings": 4097, "fragments": 16384,
		}
	}
	for _, c := range []struct {
		name string
		o    Options
		want map[string]uint32
	}{
		{"off", Options{}, off},
		{"by default", Options{Forwarding: true}, on(524288, 65536, 1)},
		{"many", Options{Forwarding: true, Flows: 100000}, on(100000, 12500, 1)},
		{"few", Options{Forwarding: true, Flows: 1000}, on(1000, 4096, 1)},
		{"with full NAT", small, on(8192, 4096, 8192)},
		{"off again", Options{}, off},
	} {
		m = m.reopenWith(t, path, c.o)
		wantSame(t, c.name, c.want, sizesOf(m))
	}
	mustDo(t, m.PutService(keyA, Service{Mode: ModeLinger})) // what says sorry needs none of them
	if _, err := m.Sweep(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(path, "next")); err == nil {
		t.Error("a table that has taken its place is still pinned as the next")
	}
}

// TestFlowsAreCarriedOver makes the tables larger and smaller with flows in them.
func TestFlowsAreCarriedOver(t *testing.T) {
	path := pinPath(t)
	r := newFlowRig(t, path, small)
	const n = 6000
	for i := range n {
		r.note(t, r.engine.Flows, i, keyA, r.rowOf[r.a], bpf.DirectorFlowStateFLOW_OPEN, 0)
	}
	r.note(t, r.engine.Fresh, n, keyA, r.rowOf[r.b], bpf.DirectorFlowStateFLOW_NEW, 0)
	key := bpf.DirectorBindingKey{Port: 7}
	mustDo(t, r.engine.Bindings.Put(key, bpf.DirectorBinding{Pad: 9}))
	rows := readRows(t, r.Maps)

	r.Maps = r.reopenWith(t, path, Options{Forwarding: true, Flows: 80000, FullNAT: true})
	all := r.ports(t)
	if len(all) != n+1 || all[0].Server != r.a || all[n].Server != r.b {
		t.Errorf("%d flows in a larger table, want %d: %+v, %+v", len(all), n+1, all[0], all[n])
	}
	var b bpf.DirectorBinding
	if err := r.engine.Bindings.Lookup(key, &b); err != nil || b.Pad != 9 {
		t.Errorf("a binding in a larger table: %+v, %v", b, err)
	}
	if got := readRows(t, r.Maps); got != rows {
		t.Errorf("rows that were not to change: %s, before %s", got, rows)
	}

	r.Maps = r.reopenWith(t, path, Options{Forwarding: true, Flows: 2000})
	if all = r.ports(t); len(all) < 1000 || len(all) > 2001 {
		t.Errorf("%d flows in a table for 2000", len(all))
	}
	flows := len(r.ports(t))
	r.Maps = r.reopenWith(t, path, Options{}) // somebody else forwards from now on
	if got := readRows(t, r.Maps); got != rows || len(r.ports(t)) != flows {
		t.Errorf("before another engine has the services: %s, before %s", got, rows)
	}
	for _, k := range []Key{keyA, keyB} {
		mustDo(t, r.DeleteForward(k))
	}
	r.Maps = r.reopenWith(t, path, Options{})
	if all, err := r.Servers(); err != nil || len(all) != 0 || sizesOf(r.Maps)["flows"] != 1 {
		t.Errorf("servers without forwarding: %v, %v", all, err)
	}
}

func readRows(t *testing.T, m *Maps) string {
	t.Helper()
	servers, err := m.Servers()
	mustDo(t, err)
	forwards, err := m.Forwards()
	mustDo(t, err)
	return fmt.Sprint(servers, forwards, m.rowOf, m.ids)
}

// TestOpenThatWasCutShort leaves a table behind that was not finished.
func TestOpenThatWasCutShort(t *testing.T) {
	path := pinPath(t)
	r := newFlowRig(t, path, small)
	r.note(t, r.engine.Flows, 1, keyA, r.rowOf[r.a], bpf.DirectorFlowStateFLOW_OPEN, 0)
	half, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: 24, ValueSize: 8, MaxEntries: 100})
	mustDo(t, err)
	defer half.Close()
	mustDo(t, half.Pin(filepath.Join(path, "next")))
	r.Maps = r.reopenWith(t, path, Options{Forwarding: true, Flows: 9000})
	if all := r.ports(t); len(all) != 1 {
		t.Errorf("flows: %v", all)
	}
}

// TestTablesOfAnotherVersion pins tables that differ in more than their size, or
// in a size that must not change.
func TestTablesOfAnotherVersion(t *testing.T) {
	for name, spec := range map[string]*ebpf.MapSpec{
		"flows":   {Type: ebpf.LRUHash, KeySize: 24, ValueSize: 16, MaxEntries: 100},
		"servers": {Type: ebpf.Array, KeySize: 4, ValueSize: 80, MaxEntries: 100},
	} {
		t.Run(name, func(t *testing.T) {
			path := pinPath(t)
			mustDo(t, openWith(t, path, small).Close())
			mustDo(t, os.Remove(filepath.Join(path, name)))
			theirs, err := ebpf.NewMap(spec)
			mustDo(t, err)
			defer theirs.Close()
			mustDo(t, theirs.Pin(filepath.Join(path, name)))
			if _, err := Open(path, small); err == nil || !strings.Contains(err.Error(), "another version") {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// TestLimitFollowsTheSize opens tables of another size with the settings of before.
func TestLimitFollowsTheSize(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, small)
	mustDo(t, m.SetForwarding(times))
	m = m.reopenWith(t, path, Options{Forwarding: true, Flows: 1 << 17})
	cpus, err := onlineCPUs()
	mustDo(t, err)
	row, err := m.forwarding()
	mustDo(t, err)
	if want := freshLimit(1<<14, cpus); row.FreshLimit != want {
		t.Errorf("a limit of %d, want %d", row.FreshLimit, want)
	}
}
