// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/flood"
	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// siege is a flood of SYNs, and clients who want the page at the same time.
type siege struct {
	clients   int
	lasts     time.Duration
	perSecond int // SYNs
}

// usualSiege is of the million packets a second that a director is to bear; what
// the machine cannot make, the flood goes without.
func usualSiege() siege {
	if testing.Short() {
		return siege{clients: 50, lasts: 3 * time.Second, perSecond: 20_000} // an emulated machine
	}
	return siege{clients: 200, lasts: 5 * time.Second, perSecond: 1_000_000}
}

// outcome is what became of a siege.
type outcome struct {
	syns   float64 // a second, that the director answered
	took   []time.Duration
	failed []error
}

// connect gives the flood a link of its own to the director, as a network card
// gives it a queue of its own, and has it answered there.
func (e *engine) connect(t testing.TB, mode maps.AttachMode) *flood.Flood {
	t.Helper()
	nobody := netlab.Make(t, "nobody")
	if err := netlab.Veth(netlab.End{In: nobody, Name: "eth0"}, netlab.End{In: e.Director.Namespace, Name: "flood"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := nobody.DropXDP("eth0"); err != nil {
		t.Fatal(err)
	}
	if mode == maps.AttachTC { // a veth takes frames of XDP only where there is a program of XDP
		if err := e.Director.PassXDP("flood"); err != nil {
			t.Fatal(err)
		}
	}
	err := e.Director.Do(func() error { _, err := e.maps.Attach("flood", mode); return err })
	if err != nil {
		t.Fatal(err)
	}
	mac, err := e.Director.MAC("flood")
	if err != nil {
		t.Fatal(err)
	}
	f, err := flood.New(nobody, "eth0", flood.Target{To: netip.AddrPortFrom(e.VIP4, 80), MAC: packet.MAC(mac), From: e.Nobody4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// withstand begins the flood and has each client fetch the page again and again,
// with a pause of about 100 ms between, from an address of its own.
func (e *engine) withstand(f *flood.Flood, s siege) (o outcome, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.lasts)
	defer cancel()
	before, err := e.answered()
	if err != nil {
		return o, err
	}
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { _, err = f.Run(ctx, s.perSecond) })
	var mu sync.Mutex
	for i := range s.clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
				asked := time.Now()
				err := e.fetchFrom(addressOf(e.Crowd4, i))
				mu.Lock()
				o.took = append(o.took, time.Since(asked))
				if err != nil {
					o.failed = append(o.failed, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err != nil {
		return o, err
	}
	after, err := e.answered()
	o.syns = float64(after-before) / time.Since(began).Seconds()
	slices.Sort(o.took)
	return o, err
}

// fetchFrom gets the page once.
func (e *engine) fetchFrom(from netip.Addr) error {
	ctx, cancel := context.WithTimeout(context.Background(), perRequest)
	defer cancel()
	c, err := e.Client.DialFrom(ctx, netip.AddrPortFrom(from, 0), "tcp", netip.AddrPortFrom(e.VIP4, 80).String())
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	return e.wantPage(io.ReadAll(c))
}

// answered is how many SYNs the engine has answered.
func (e *engine) answered() (n uint64, err error) {
	all, err := e.maps.Counters()
	for v, c := range all[maps.Key{Addr: netip.AddrPortFrom(e.VIP4, 80), Proto: 6}] {
		if v.String() == "answer_syn" {
			n = c.Packets
		}
	}
	return n, err
}

// quantile is the time within which that part of the clients were served.
func (o outcome) quantile(part float64) time.Duration {
	return o.took[min(len(o.took)-1, int(part*float64(len(o.took))))].Round(10 * time.Microsecond)
}

// TestFloodAndThePage has everybody served, and the maps no larger than before.
func TestFloodAndThePage(t *testing.T) {
	for name, mode := range map[string]maps.AttachMode{"tc": maps.AttachTC, "xdp": maps.AttachXDP} {
		t.Run(name, func(t *testing.T) {
			if mode == maps.AttachXDP && testing.Short() {
				t.Skip("played where the machine is not emulated")
			}
			e := newEngine(t, mode, 5000)
			f := e.connect(t, mode)
			before := e.holds(t)
			o, err := e.withstand(f, usualSiege())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.0f SYNs answered a second, %d pages fetched, p50 %v, p99 %v", o.syns, len(o.took), o.quantile(0.5), o.quantile(0.99))
			if least := usualSiege().clients; len(o.took) < least || o.syns < float64(10*least) {
				t.Errorf("that was no siege: %d clients and %.0f SYNs a second were answered", len(o.took), o.syns)
			}
			for _, err := range o.failed {
				t.Errorf("one of %d clients: %v", len(o.took), err)
			}
			if after := e.holds(t); after != before {
				t.Errorf("the maps hold %s, and %s before", after, before)
			}
		})
	}
}

// holds sums up the maps of the engine: their memory, and the rows of those that
// have more or less of them.
func (e *engine) holds(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(e.pin, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var tables, rows int
	var memory uint64
	for _, path := range paths {
		m, err := ebpf.LoadPinnedMap(path, nil)
		if err != nil {
			continue // a program or a link
		}
		info, err := m.Info()
		if err != nil {
			t.Fatal(err)
		}
		size, _ := info.Memlock()
		tables, memory = tables+1, memory+size
		if m.Type() == ebpf.Hash || m.Type() == ebpf.LRUHash {
			rows += rowsOf(m)
		}
		_ = m.Close()
	}
	if tables < 5 || rows == 0 || memory == 0 {
		t.Fatalf("%d rows in %d maps of %d bytes in %s: these are not the engine's", rows, tables, memory, e.pin)
	}
	return fmt.Sprintf("%d bytes and %d rows in %d tables", memory, rows, tables)
}

func rowsOf(m *ebpf.Map) (rows int) {
	var key any
	for {
		next, err := m.NextKeyBytes(key)
		if err != nil || next == nil {
			return rows
		}
		rows, key = rows+1, next
	}
}

// BenchmarkFlood tells how long clients wait for the page during a flood.
func BenchmarkFlood(b *testing.B) {
	e := newEngine(b, maps.AttachXDP, 5000)
	f := e.connect(b, maps.AttachXDP)
	for b.Loop() {
		o, err := e.withstand(f, usualSiege())
		if err = errors.Join(append(o.failed, err)...); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(o.syns, "SYNs/s")
		b.ReportMetric(float64(len(o.took)), "pages")
		b.ReportMetric(o.quantile(0.5).Seconds()*1000, "p50-ms")
		b.ReportMetric(o.quantile(0.99).Seconds()*1000, "p99-ms")
	}
	b.ReportMetric(0, "ns/op") // says nothing
}
