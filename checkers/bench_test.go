// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
)

// instant is a check that takes no time.
type instant struct{}

func (instant) Check(context.Context, netip.AddrPort) Result { return Result{Outcome: OutcomePass} }

func manyProbes(n int, c Checker, timing Timing) []Probe {
	probes := make([]Probe, n)
	for i := range probes {
		target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
		probes[i] = Probe{Key: Key{"web", target}, Checker: c, Timing: timing, Fingerprint: "1"}
	}
	return probes
}

// BenchmarkRun tells what the scheduler adds to a run.
func BenchmarkRun(b *testing.B) {
	s := NewScheduler(Options{Shards: 1})
	s.Set(manyProbes(10000, instant{}, usual))
	sh := s.shards[0]
	sh.plan()
	b.ReportAllocs()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	for b.Loop() {
		sh.mu.Lock()
		p := sh.queue.Pop().(*probe)
		sh.admit(ctx, p)
		sh.mu.Unlock()
		sh.runs.Wait()
	}
}

// BenchmarkReload tells what it costs to set 50,000 probes that are there.
func BenchmarkReload(b *testing.B) {
	s := NewScheduler(Options{})
	probes := manyProbes(50000, instant{}, usual)
	s.Set(probes)
	b.ReportAllocs()
	for b.Loop() {
		s.Set(probes)
	}
}

// TestProbeMemory bounds what an idle probe takes.
func TestProbeMemory(t *testing.T) {
	const n, most = 50000, 1000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := NewScheduler(Options{Shards: 2})
	s.Set(manyProbes(n, instant{}, usual))
	s.Set(manyProbes(n, instant{}, usual)) // as after a reload
	each := (heap() - before) / n
	runtime.KeepAlive(s)
	t.Logf("%d bytes for each probe", each)
	if each > most {
		t.Errorf("%d bytes for each probe, want at most %d", each, most)
	}
}
