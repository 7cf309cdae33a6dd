// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/bpf"
	"github.com/maitred-lb/maitred/test/kernel"
)

func open(t *testing.T, path string) *Maps {
	t.Helper()
	m, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// reopen is what a later process does.
func (m *Maps) reopen(t *testing.T, path string) *Maps {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func pinPath(t *testing.T) string {
	t.Helper()
	return pinPathNamed(t, "test")
}

func pinPathNamed(t *testing.T, name string) string {
	t.Helper()
	kernel.RequireBPF(t)
	path := fmt.Sprintf("/sys/fs/bpf/maitred-%s-%d", name, os.Getpid())
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	return path
}

func testPage(id PageID, text string) Page {
	response := []byte("HTTP/1.1 502 Sorry\r\n\r\n" + text)
	sums := make([]uint32, len(response)/2+1)
	for i := range len(response) / 2 {
		sums[i+1] = sums[i] + uint32(response[2*i])<<8 + uint32(response[2*i+1])
	}
	return Page{ID: id, Response: response, Head: 22, Sums: sums}
}

var (
	keyA = Key{Addr: netip.MustParseAddrPort("192.0.2.10:80"), Proto: 6}
	keyB = Key{Addr: netip.MustParseAddrPort("[2001:db8::10]:443"), Proto: 6}
)

func TestRowsAreReadAsWritten(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	want := map[Key]Service{
		keyA: {Mode: ModeSorry, Orphans: OrphansPass, Page: 7},
		keyB: {Mode: ModeLinger, Orphans: OrphansDrop},
	}
	put(t, m, testPage(7, "closed"))
	for k, s := range want {
		if err := m.PutService(k, s); err != nil {
			t.Fatal(err)
		}
	}
	check := func(m *Maps) {
		t.Helper()
		got, err := m.Services()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
			t.Errorf("rows (-want +got):\n%s", d)
		}
	}
	check(m)
	m = m.reopen(t, path)
	check(m)

	for range 2 { // the second is of what is gone
		if err := m.DeleteService(keyB); err != nil {
			t.Fatal(err)
		}
	}
	delete(want, keyB)
	check(m)
}

// Some counters of one service are those that Counters has of all.
func TestCountersOfOneService(t *testing.T) {
	m := open(t, pinPath(t))
	if got, err := m.CountersOf(keyA, VerdictAnswerSYN); err != nil || len(got) != 0 {
		t.Errorf("of a service without a row: %v, %v", got, err)
	}
	for _, k := range []Key{keyA, keyB} {
		mustDo(t, m.PutService(k, Service{Mode: ModeShed, Shed: 5}))
	}
	var row bpf.DirectorService
	mustDo(t, m.engine.Services.Lookup(keyTo(keyB), &row))
	cpus, err := ebpf.PossibleCPU()
	mustDo(t, err)
	for v, n := range map[Verdict]uint64{VerdictAnswerSYN: 3, VerdictForwardOpen: 0} {
		counters := make([]bpf.DirectorCounter, cpus)
		for i := range counters {
			counters[i] = bpf.DirectorCounter{Packets: n, Bytes: 60 * n}
		}
		mustDo(t, m.engine.Counters.Put(counterKey(row.Id, v), counters))
	}
	all, err := m.Counters()
	mustDo(t, err)
	got, err := m.CountersOf(keyB, VerdictAnswerSYN, VerdictForwardOpen)
	want := Counts{VerdictAnswerSYN: {Packets: 3 * uint64(cpus), Bytes: 180 * uint64(cpus)}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if d := cmp.Diff(all[keyB], got); d != "" {
		t.Errorf("otherwise than Counters:\n%s", d)
	}
	if got, err := m.CountersOf(keyA, VerdictAnswerSYN); err != nil || len(got) != 0 {
		t.Errorf("of the other: %v, %v", got, err)
	}
}

func TestServiceNeedsItsPage(t *testing.T) {
	m := open(t, pinPath(t))
	if err := m.PutService(keyA, Service{Mode: ModeSorry, Page: 9}); err == nil {
		t.Fatal("a row was put with a page that is not in the kernel")
	}
	if rows, _ := m.Services(); len(rows) != 0 {
		t.Errorf("rows after the failure: %v", rows)
	}
}

func TestPageLivesWhileARowPointsToIt(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	put(t, m, testPage(1, "old"))
	put(t, m, testPage(2, "new"))
	put(t, m, testPage(3, "newest"))
	row := func(id PageID) {
		t.Helper()
		if err := m.PutService(keyA, Service{Mode: ModeSorry, Page: id}); err != nil {
			t.Fatal(err)
		}
	}
	row(1)
	if err := m.DeletePage(1); !errors.Is(err, ErrPageInUse) {
		t.Fatalf("delete a page in use: %v", err)
	}
	row(2)
	// Exchanges that began on page 1 still end on it.
	if err := m.DeletePage(1); err != nil {
		t.Fatal(err)
	}
	wantPages(t, m, 2, 3)
	slot := m.slots[1]
	if slot == 0 {
		t.Fatal("the former page has lost its slot")
	}
	content := readPage(t, m, slot)
	if !bytes.HasSuffix(content.Bytes[:content.Length], []byte("old")) {
		t.Errorf("the former page reads %q", content.Bytes[:content.Length])
	}
	row(3) // page 2 is the former one now
	if _, ok := m.slots[1]; ok {
		t.Error("page 1 still has its slot after two changes")
	}
	// The next process finds that page 2 is nobody's current page.
	wantPages(t, m.reopen(t, path), 3)
}

func TestPageIsReadBack(t *testing.T) {
	path := pinPath(t)
	p := testPage(11, "seats taken")
	m := open(t, path)
	put(t, m, p)
	m = m.reopen(t, path)
	// No row points to it, so the new process has freed it and takes it anew.
	wantPages(t, m)
	put(t, m, p)
	put(t, m, p)
	wantPages(t, m, 11)
	got := readPage(t, m, m.slots[11])
	if !bytes.Equal(got.Bytes[:got.Length], p.Response) || int(got.Head) != p.Head {
		t.Errorf("page in the kernel: head %d, %q", got.Head, got.Bytes[:got.Length])
	}
	if !cmp.Equal(got.Sums[:len(p.Sums)], p.Sums) {
		t.Error("the sums in the kernel differ")
	}
}

func TestBadPages(t *testing.T) {
	m := open(t, pinPath(t))
	for name, p := range map[string]Page{
		"no identity": {Response: []byte("x")},
		"empty":       {ID: 1},
		"too long":    {ID: 1, Response: make([]byte, maxPage+1)},
		"long header": {ID: 1, Response: []byte("x"), Head: 2},
	} {
		if err := m.PutPage(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	wantPages(t, m)
}

func TestKeysOutliveTheProcess(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	first := keys(t, m)
	m = m.reopen(t, path)
	if got := keys(t, m); got != first {
		t.Error("opening again changed the keys")
	}
	if first.Keys[0] == first.Keys[1] || first.Keys[0] == (bpf.DirectorCookieKey{}) {
		t.Error("the first keys are not random")
	}
	if err := m.RotateKey(); err != nil {
		t.Fatal(err)
	}
	got := keys(t, m)
	if got.Current == first.Current || got.Keys[first.Current] != first.Keys[first.Current] {
		t.Error("the key before is not kept")
	}
	if got.Keys[got.Current] == first.Keys[got.Current] {
		t.Error("the key is not new")
	}
}

func TestEveryVerdictHasAName(t *testing.T) {
	seen := map[string]bool{}
	for v := range Verdicts {
		if v.String() == "" || seen[v.String()] {
			t.Errorf("verdict %d is called %q", v, v)
		}
		seen[v.String()] = true
	}
}

func TestPinPathMustBeOnBPFFS(t *testing.T) {
	kernel.RequireBPF(t)
	if _, err := Open(filepath.Join(t.TempDir(), "maitred"), Options{}); err == nil {
		t.Error("a folder on an ordinary file system was accepted")
	}
}

func put(t *testing.T, m *Maps, p Page) {
	t.Helper()
	if err := m.PutPage(p); err != nil {
		t.Fatal(err)
	}
}

func wantPages(t *testing.T, m *Maps, want ...PageID) {
	t.Helper()
	got, err := m.Pages()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("pages %v, want %v", got, want)
	}
	seen := map[PageID]bool{}
	for _, id := range got {
		seen[id] = true
	}
	for _, id := range want {
		if !seen[id] {
			t.Errorf("pages %v, want %v", got, want)
		}
	}
}

func keys(t *testing.T, m *Maps) (s bpf.DirectorSetting) {
	t.Helper()
	if err := m.engine.Settings.Lookup(uint32(0), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func readPage(t *testing.T, m *Maps, slot uint32) *bpf.DirectorPage {
	t.Helper()
	var inner *ebpf.Map
	if err := m.engine.Pages.Lookup(slot, &inner); err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	content := &bpf.DirectorPage{}
	if err := inner.Lookup(uint32(0), content); err != nil {
		t.Fatal(err)
	}
	return content
}
