// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// slotsOf reads the ring of a service from the kernel.
func slotsOf(t *testing.T, m *Maps, k Key) (out []uint16) {
	t.Helper()
	var inner *ebpf.Map
	if err := m.engine.Rings.Lookup(m.ids[k], &inner); err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	parts, err := readArray[[4]uint16](inner)
	mustDo(t, err)
	for _, part := range parts {
		out = append(out, part[:]...)
	}
	return out
}

func innerID(t *testing.T, m *Maps, k Key) (id uint32) {
	t.Helper()
	mustDo(t, m.engine.Rings.Lookup(m.ids[k], &id))
	return id
}

func forwardOf(t *testing.T, m *Maps, k Key) (row bpf.DirectorForward) {
	t.Helper()
	mustDo(t, m.engine.Forwards.Lookup(m.ids[k], &row))
	return row
}

func TestForwardsAreReadAsWritten(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, small)
	a, b := serverID(1, MethodDR), serverID(2, MethodDR)
	up(t, m, a, b)
	mustDo(t, m.PutForward(keyA, Forward{Spread: SpreadAddress, Down: DownKeep, Ring: ringOfAll(5, 6, a, b)}))
	mustDo(t, m.PutForward(keyB, Forward{}))
	want := map[Key]Forward{
		keyA: {Spread: SpreadAddress, Down: DownKeep, Ring: Ring{Digest: 5}},
		keyB: {},
	}
	check := func() {
		t.Helper()
		got, err := m.Forwards()
		mustDo(t, err)
		wantSame(t, "forwards", want, got)
	}
	check()
	ra, rb := m.rowOf[a], m.rowOf[b]
	wantSame(t, "slots", []uint16{ra, rb, ra, rb, ra, rb, 0, 0}, slotsOf(t, m, keyA))
	id := m.ids[keyA]
	m = m.reopenWith(t, path, small)
	check()
	mustDo(t, m.PutService(keyA, Service{}))
	if rows, _ := m.rows(); m.ids[keyA] != id || rows[keyTo(keyA)].Id != id {
		t.Errorf("id %d was kept for the service, and it has %d", id, rows[keyTo(keyA)].Id)
	}
	for range 2 { // the second is of what is gone
		mustDo(t, m.DeleteForward(keyA))
	}
	delete(want, keyA)
	check()
	if err := m.engine.Rings.Lookup(id, new(uint32)); !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Errorf("the ring of what is not forwarded any more: %v", err)
	}
	mustDo(t, m.PutForward(keyA, Forward{}))
	if m.ids[keyA] != id {
		t.Error("a service that has a row has got another id")
	}
}

func TestBadForwards(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	a := serverID(1, MethodDR)
	up(t, m, a)
	for name, f := range map[string]Forward{
		"a server without a row": {Ring: ringOfAll(1, 2, a, serverID(2, MethodDR))},
		"a slot of nobody":       {Ring: Ring{Servers: []ServerID{a}, Slots: []uint16{1}}},
		"a bad spread":           {Spread: 9},
		"a bad fate":             {Down: 9},
	} {
		if err := m.PutForward(keyA, f); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got, err := m.Forwards(); err != nil || len(got) != 0 || len(m.ids) != 0 {
		t.Errorf("after the failures: %v, %v", got, m.ids)
	}
}

func TestRingIsPutOnlyWhenItChanges(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, small)
	a, b := serverID(1, MethodDR), serverID(2, MethodDR)
	up(t, m, a, b)
	f := Forward{Ring: ringOfAll(5, 64, a, b)}
	put := func() uint32 {
		t.Helper()
		mustDo(t, m.PutForward(keyA, f))
		return innerID(t, m, keyA)
	}
	first := put()
	if put() != first {
		t.Error("the same ring was put again")
	}
	f.Down = DownKeep
	if put() != first {
		t.Error("another fate has put the ring again")
	}
	m = m.reopenWith(t, path, small)
	if put() != first {
		t.Error("a restart has put the ring again")
	}
	f.Ring.Servers = []ServerID{b, a}
	if put() == first {
		t.Error("other servers under the same digest were not put")
	}
	f.Ring.Digest++
	before := innerID(t, m, keyA)
	if put() != before {
		t.Error("the same slots under another digest are another map")
	}
	if got := forwardOf(t, m, keyA).Digest; got != f.Ring.Digest {
		t.Errorf("the digest is %d, want %d", got, f.Ring.Digest)
	}
}

func TestEqualRingsAreShared(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	a, b := serverID(1, MethodDR), serverID(2, MethodDR)
	up(t, m, a, b)
	mustDo(t, m.PutForward(keyA, Forward{Ring: ringOfAll(5, 64, a, b)}))
	mustDo(t, m.PutForward(keyB, Forward{Ring: ringOfAll(5, 64, a, b)}))
	if innerID(t, m, keyA) != innerID(t, m, keyB) || len(m.rings) != 1 {
		t.Error("two services with the same ring have two maps")
	}
	mustDo(t, m.PutForward(keyB, Forward{Ring: ringOfAll(5, 64, b, a)})) // of another pool, say
	if innerID(t, m, keyA) == innerID(t, m, keyB) {
		t.Error("two rings of the same digest are taken for one")
	}
	mustDo(t, m.DeleteForward(keyA))
	mustDo(t, m.PutForward(keyB, Forward{}))
	if len(m.rings) != 0 || len(m.ringOf) != 0 {
		t.Errorf("rings of nobody are held: %d, %d", len(m.rings), len(m.ringOf))
	}
}

// TestRingFaults takes each effect of a change away, and makes the change again
// when it is back. At no time may the length reach beyond the ring.
func TestRingFaults(t *testing.T) {
	a, b := serverID(1, MethodDR), serverID(2, MethodDR)
	long, short := ringOfAll(1, 64, a, b), ringOfAll(2, 8, a)
	for name, c := range map[string]struct {
		before, after Ring
		broken        string
		slots         uint32 // after the failure
		digest        uint64
	}{
		"first, no ring":     {Ring{}, long, "rings", 0, 0},
		"first, no row":      {Ring{}, long, "forwards", 0, 0},
		"longer, no ring":    {short, long, "rings", 8, 0},
		"longer, no row":     {short, long, "forwards", 8, 2},
		"shorter, no ring":   {long, short, "rings", 8, 0},
		"shorter, no row":    {long, short, "forwards", 64, 1},
		"to nothing, no row": {long, Ring{}, "forwards", 64, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := openWith(t, pinPath(t), small)
			up(t, m, a, b)
			mustDo(t, m.PutForward(keyA, Forward{Ring: c.before}))
			mend := breakMap(t, m, c.broken)
			if err := m.PutForward(keyA, Forward{Ring: c.after}); err == nil {
				t.Fatal("the fault was not noticed")
			}
			mend()
			row := forwardOf(t, m, keyA)
			if row.Slots != c.slots || row.Digest != c.digest {
				t.Errorf("after the failure: %d slots of ring %d, want %d of %d", row.Slots, row.Digest, c.slots, c.digest)
			}
			if row.Slots > 0 && int(row.Slots) > len(slotsOf(t, m, keyA)) {
				t.Errorf("%d slots of a ring of %d", row.Slots, len(slotsOf(t, m, keyA)))
			}
			if err := m.DeleteServer(a); row.Slots > 0 && !errors.Is(err, ErrServerInUse) {
				t.Errorf("delete a server of a ring: %v", err)
			}
			up(t, m, a)
			mustDo(t, m.PutForward(keyA, Forward{Ring: c.after}))
			row = forwardOf(t, m, keyA)
			if int(row.Slots) != len(c.after.Slots) || row.Digest != c.after.Digest {
				t.Errorf("at last: %d slots of ring %d", row.Slots, row.Digest)
			}
		})
	}
}

// TestRingCutShortIsUndone ends the process within a change of rings. The next one
// wants the former ring again.
func TestRingCutShortIsUndone(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, small)
	a, b := serverID(1, MethodDR), serverID(2, MethodDR)
	up(t, m, a, b)
	former := Forward{Ring: ringOfAll(1, 8, a, b)}
	mustDo(t, m.PutForward(keyA, former))
	want := slotsOf(t, m, keyA)
	next, err := m.rowsOf(ringOfAll(2, 8, a))
	mustDo(t, err)
	before := forwardOf(t, m, keyA)
	row := before
	row.Digest = 2
	mustDo(t, m.changeRing(m.ids[keyA], before, row, next))
	m = m.reopenWith(t, path, small)
	mustDo(t, m.PutForward(keyA, former))
	if got := slotsOf(t, m, keyA); !slices.Equal(got, want) {
		t.Errorf("slots %v, want %v", got, want)
	}
}

// breakMap has a map of arrays refuse writes, and read as it is, until it is
// mended.
func breakMap(t *testing.T, m *Maps, name string) (mend func()) {
	t.Helper()
	at := map[string]**ebpf.Map{"rings": &m.engine.Rings, "forwards": &m.engine.Forwards}[name]
	whole := *at
	broken, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Array, KeySize: 4, ValueSize: whole.ValueSize(), MaxEntries: whole.MaxEntries(),
	})
	mustDo(t, err)
	if name == "forwards" {
		rows, err := readArray[bpf.DirectorForward](whole)
		mustDo(t, err)
		for i, row := range rows {
			mustDo(t, broken.Put(uint32(i), row))
		}
	}
	mustDo(t, broken.Freeze())
	*at = broken
	return func() {
		*at = whole
		mustDo(t, broken.Close())
	}
}
