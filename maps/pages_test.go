// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// alertID is of what all pages say to TLS.
const alertID PageID = 0xa1

// variedPage has three variants.
func variedPage(id PageID) Page {
	p := testPage(id, "plain")
	p.Speech, p.Burst = SpeechHTTP, 4
	p.Variants = []Variant{
		{Host: "shop.example", Page: testPage(id+1, "of the shop")},
		{Coding: CodingBrotli, Page: testPage(id+2, "brotli")},
		{Opening: OpeningTLS, Page: testPage(alertID, "alert")},
	}
	return p
}

// inKernel lists the slots that a page is in, of the first few, for each look
// costs a millisecond, and those that one is noted of.
func inKernel(t *testing.T, m *Maps) (filled, noted []uint32) {
	t.Helper()
	for slot := range uint32(12) {
		var inner *ebpf.Map
		switch err := m.engine.Pages.Lookup(slot, &inner); {
		case err == nil:
			mustDo(t, inner.Close())
			filled = append(filled, slot)
		case !errors.Is(err, ebpf.ErrKeyNotExist):
			t.Fatal(err)
		}
	}
	index, err := m.pageIndex()
	mustDo(t, err)
	for slot := range index {
		noted = append(noted, slot)
	}
	slices.Sort(noted)
	return filled, noted
}

func wantSlots(t *testing.T, m *Maps, want ...uint32) {
	t.Helper()
	filled, noted := inKernel(t, m)
	if !slices.Equal(filled, want) || !slices.Equal(noted, want) {
		t.Errorf("slots %v are filled and %v noted, want %v", filled, noted, want)
	}
}

func TestVariantsAreReadAsWritten(t *testing.T) {
	m := open(t, pinPath(t))
	p := variedPage(0x100)
	put(t, m, p)
	wantPages(t, m, 0x100)
	main := readPage(t, m, m.slots[0x100])
	if main.Variants != 3 || main.Burst != 4 || main.Digest != 0x100 || main.Alike != p.alike() {
		t.Errorf("%d variants, bursts of %d, digest %x, %d bytes alike", main.Variants, main.Burst, main.Digest, main.Alike)
	}
	for i, v := range p.Variants {
		row := main.Variant[i]
		want := bpf.DirectorVariant{
			Slot: row.Slot, Length: uint16(len(v.Page.Response)), Head: uint16(v.Page.Head),
			Coding: bpf.DirectorCoding(v.Coding), Opening: bpf.DirectorOpening(v.Opening),
		}
		if v.Host != "" {
			want.Host = HostDigest(v.Host)
		}
		if row != want || row.Slot == 0 {
			t.Errorf("variant %d: %+v, want %+v", i+1, row, want)
		}
		content := readPage(t, m, row.Slot)
		if got := string(content.Bytes[:content.Length]); got != string(v.Page.Response) {
			t.Errorf("variant %d reads %q", i+1, got)
		}
	}
}

func TestWhatIsAlikeIsTold(t *testing.T) {
	m := open(t, pinPath(t))
	p := variedPage(0x100)
	for i := range p.Variants {
		p.Variants[i].Page.Response, p.Variants[i].Page.Head = bytes.Repeat([]byte("x"), 100), 80
	}
	p.Response, p.Head = bytes.Repeat([]byte("x"), 100), 80
	put(t, m, p)
	if main := readPage(t, m, m.slots[0x100]); main.Alike != variantGrid {
		t.Errorf("%d bytes are alike, want %d", main.Alike, variantGrid)
	}
}

// A page and its variants live and die together, over a restart, too.
func TestVariantsShareTheirPagesFate(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	put(t, m, variedPage(0x100)) // its alert is in slot 1
	put(t, m, testPage(2, "alone"))
	mustDo(t, m.PutService(keyA, Service{Mode: ModeSorry, Page: 0x100}))
	wantSlots(t, m, 1, 2, 3, 4, 5)

	m = m.reopen(t, path) // nobody shows page 2
	wantPages(t, m, 0x100)
	wantSlots(t, m, 1, 2, 3, 4)
	put(t, m, variedPage(0x100))
	put(t, m, variedPage(0x200))
	wantSlots(t, m, 1, 2, 3, 4, 5, 6, 7)
	first, second := readPage(t, m, m.slots[0x100]), readPage(t, m, m.slots[0x200])
	if first.Variant[2].Slot != 1 || second.Variant[2].Slot != 1 {
		t.Errorf("alerts in slots %d and %d, want 1", first.Variant[2].Slot, second.Variant[2].Slot)
	}

	mustDo(t, m.PutService(keyA, Service{Mode: ModeSorry, Page: 0x200}))
	mustDo(t, m.DeletePage(0x100)) // and yet exchanges end on it
	wantPages(t, m, 0x200)
	m = m.reopen(t, path)
	wantSlots(t, m, 1, 2, 3, 4, 5, 6, 7)
	mustDo(t, m.DeleteService(keyA))
	wantSlots(t, m, 1, 5, 6, 7)
	mustDo(t, m.DeletePage(0x200))
	wantSlots(t, m)
}

// TestPutThatWasCutShort ends a process after each step of putting a page, and
// of deleting one.
func TestPutThatWasCutShort(t *testing.T) {
	const main, alert = 1, 9
	p := variedPage(0x100)
	slots := []uint32{2, 3}
	whole := func(t *testing.T, m *Maps) {
		t.Helper()
		mustDo(t, m.putSlot(alert, p.Variants[2].Page.content(nil), alert))
		mustDo(t, m.note(alert, p.Variants[2].Page.content(nil), ofAll))
		mustDo(t, m.putSet(p, p.distinct(), main, slots))
	}
	steps := map[string]func(t *testing.T, m *Maps){
		"the alert, only noted": func(t *testing.T, m *Maps) { mustDo(t, m.note(alert, p.content(nil), alert)) },
		"the alert, not yet noted as such": func(t *testing.T, m *Maps) {
			mustDo(t, m.putSlot(alert, p.Variants[2].Page.content(nil), alert))
		},
		"the alert": func(t *testing.T, m *Maps) {
			mustDo(t, m.putSlot(alert, p.Variants[2].Page.content(nil), alert))
			mustDo(t, m.note(alert, p.Variants[2].Page.content(nil), ofAll))
		},
		"one variant": func(t *testing.T, m *Maps) {
			mustDo(t, m.putSlot(2, p.Variants[0].Page.content(nil), main))
		},
		"a variant that is only noted": func(t *testing.T, m *Maps) {
			mustDo(t, m.note(2, p.content(nil), main))
		},
		"all but the last note": func(t *testing.T, m *Maps) {
			whole(t, m)
			mustDo(t, m.note(main, p.content(nil), main))
		},
		"a deletion that has begun": func(t *testing.T, m *Maps) {
			whole(t, m)
			mustDo(t, m.note(main, &bpf.DirectorPage{}, main))
			mustDo(t, m.engine.Pages.Delete(uint32(main)))
		},
		"a deletion of the page itself": func(t *testing.T, m *Maps) {
			whole(t, m)
			mustDo(t, m.freeSlot(main))
		},
		"a deletion of all but a variant": func(t *testing.T, m *Maps) {
			whole(t, m)
			mustDo(t, m.freeSet(main, slots[:1]))
		},
		"a deletion of all but the alert": func(t *testing.T, m *Maps) {
			whole(t, m)
			mustDo(t, m.freeSet(main, slots))
		},
	}
	path := pinPath(t)
	m := open(t, path)
	for name, step := range steps {
		step(t, m)
		m = m.reopen(t, path)
		wantPages(t, m)
		wantSlots(t, m)
		put(t, m, p)
		wantPages(t, m, 0x100)
		wantSlots(t, m, 1, 2, 3, 4)
		mustDo(t, m.DeletePage(0x100))
		if t.Failed() {
			t.Fatal("after " + name)
		}
	}
}

// What cannot be put leaves nothing.
func TestPutThatFails(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	put(t, m, testPage(1, "there"))
	mustDo(t, m.PutService(keyA, Service{Mode: ModeSorry, Page: 1}))
	p := variedPage(0x100)
	index := m.engine.PageIndex
	m.engine.PageIndex = closed(t)
	if err := m.PutPage(p); err == nil || !strings.Contains(err.Error(), "put page 100: variant a1: note what is in slot") {
		t.Errorf("put: %v", err)
	}
	m.engine.PageIndex = index
	wantPages(t, m, 1)
	pages := m.engine.Pages
	m.engine.Pages = closed(t)
	if err := m.PutPage(p); err == nil || !strings.Contains(err.Error(), "put page 100: variant a1: fill slot") {
		t.Errorf("put: %v", err)
	}
	m.engine.Pages = pages
	wantPages(t, m, 1)
	m = m.reopen(t, path)
	wantPages(t, m, 1)
	wantSlots(t, m, 1)
	put(t, m, p)
	pages, m.engine.Pages = m.engine.Pages, closed(t)
	if err := m.DeletePage(0x100); err == nil {
		t.Error("a deletion that cannot be succeeds")
	}
	m.engine.Pages = pages
	wantPages(t, m, 1)
	mustDo(t, m.buryNow())
	wantSlots(t, m, 1, 2) // the alert stays while there is a page
	mustDo(t, m.DeleteService(keyA))
	mustDo(t, m.DeletePage(1))
	wantSlots(t, m)
}

// closed is a map that nothing can be done with.
func closed(t *testing.T) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1024})
	mustDo(t, err)
	mustDo(t, m.Close())
	return m
}

// Variants with the same page have one slot.
func TestVariantsShareASlot(t *testing.T) {
	m := open(t, pinPath(t))
	p := variedPage(0x100)
	again := p.Variants[0]
	again.Host = "www.shop.example"
	p.Variants = append(p.Variants, again)
	put(t, m, p)
	wantSlots(t, m, 1, 2, 3, 4)
	main := readPage(t, m, m.slots[0x100])
	if p.Slots() != 3 || main.Variants != 4 || main.Variant[3].Slot != main.Variant[0].Slot || main.Variant[3].Host == main.Variant[0].Host {
		t.Errorf("%d slots, %d variants: %+v", p.Slots(), main.Variants, main.Variant[:4])
	}
	mustDo(t, m.DeletePage(0x100))
	wantSlots(t, m)
}

func TestNoSlotForAllVariants(t *testing.T) {
	m := open(t, pinPath(t))
	for i := range m.engine.Pages.MaxEntries() - 4 { // three slots are left
		m.slots[PageID(0x1000+i)] = i + 1
	}
	p := variedPage(0x100)
	err := m.PutPage(p)
	if !errors.Is(err, ErrNoSlot) || err.Error() != "put page 100: no page slot is free: 3 are needed, 2 of 1023 are left" {
		t.Errorf("three pages and an alert in three slots: %v", err)
	}
	p.Variants = p.Variants[1:]
	put(t, m, p)
}

func TestBadVariants(t *testing.T) {
	m := open(t, pinPath(t))
	with := func(change func(*Page)) Page {
		p := variedPage(0x100)
		change(&p)
		return p
	}
	for name, tc := range map[string]struct {
		page Page
		want string
	}{
		"too many":      {with(func(p *Page) { p.Variants = make([]Variant, 32) }), "page 100: 32 variants: 31 are the most"},
		"an empty name": {with(func(p *Page) { p.Variants[2].Page.ID = 0 }), "page 100: variant 3 has no identity"},
		"an empty one": {with(func(p *Page) { p.Variants[1].Page.Response = nil }),
			"page 100: variant 2: 0 bytes with a header of 22: 1 to 65534 are possible"},
		"variants of variants": {with(func(p *Page) { p.Variants[0].Page = variedPage(5) }), "page 100: variant 1 has variants of its own"},
		"much for TLS": {with(func(p *Page) { p.Variants[2].Page.Response = make([]byte, 537) }),
			"page 100: variant 3 says 537 bytes to TLS: 536 are possible"},
		"a long burst": {with(func(p *Page) { p.Burst = 11 }), "page 100: bursts of 11 segments: 1 to 10 are possible"},
	} {
		if err := m.PutPage(tc.page); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	wantSlots(t, m)
}

func TestPageMemory(t *testing.T) {
	m := open(t, pinPath(t))
	put(t, m, testPage(1, "x"))
	var inner *ebpf.Map
	mustDo(t, m.engine.Pages.Lookup(m.slots[1], &inner))
	defer inner.Close()
	if got := inner.ValueSize(); got != PageMemory {
		t.Errorf("a page has %d bytes, PageMemory is %d", got, PageMemory)
	}
}

// The digests of FNV-1a are the reference's own (draft-eastlake-fnv).
func TestHostDigest(t *testing.T) {
	const foobar = 0x85944171f73967e8
	for _, same := range []string{"foobar", "FooBar", "foobar.", "foobar:8080", "FOOBAR.:1"} {
		if got := HostDigest(same); got != foobar {
			t.Errorf("%s: %x, want %x", same, got, uint64(foobar))
		}
	}
	seen := map[uint64]string{}
	for _, host := range []string{"", "a", "b", "a.b", "[2001:db8::1]", "[2001:db8::2]", "192.0.2.1"} {
		digest := HostDigest(host)
		if other, ok := seen[digest]; ok {
			t.Errorf("%q and %q have one digest", host, other)
		}
		seen[digest] = host
		if got := HostDigest(fmt.Sprintf("%s:443", host)); got != digest {
			t.Errorf("%q with a port is another", host)
		}
	}
}
