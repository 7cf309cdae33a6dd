// SPDX-License-Identifier: Apache-2.0

package checkers_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
)

var soak = flag.Duration("soak", 3*time.Second, "how long TestSoak goes on")

// TestSoak checks targets that flap, stall and vanish, while the configuration
// changes, for as long as -soak says. Memory and goroutines are at its end what
// they were after a quarter of it.
func TestSoak(t *testing.T) {
	yard := newYard(t)
	s := checkers.NewScheduler(checkers.Options{OnTransition: func(checkers.Transition) { yard.moves.Add(1) }})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer func() {
		cancel()
		running.Wait()
	}()

	yard.stir(s, *soak/4)
	goroutines, memory := yard.still(t, s)
	yard.stir(s, *soak*3/4)
	more, grown := yard.still(t, s)
	stats := s.Stats()
	t.Logf("%v: %v; %d transitions; goroutines %d, then %d; %d KiB of heap, then %d", *soak, stats.Runs, yard.moves.Load(), goroutines, more, memory>>10, grown>>10)
	if more > goroutines {
		t.Errorf("%d goroutines, %d before", more, goroutines)
	}
	// What the runtime keeps of its own, stacks and pools, varies by that much.
	if slack := memory/10 + 512<<10; grown > memory+slack {
		t.Errorf("%d bytes of heap, %d before", grown, memory)
	}
	outcomes := map[string]bool{}
	for _, r := range stats.Runs {
		outcomes[fmt.Sprint(r.Outcome, " ", r.Class)] = true
	}
	for _, want := range []string{"pass none", "fail refused", "fail stalled"} {
		if !outcomes[want] {
			t.Errorf("no run ended as %q: the test proves nothing", want)
		}
	}
	if yard.moves.Load() == 0 || stats.Running != 0 {
		t.Errorf("%d transitions, %d runs in flight", yard.moves.Load(), stats.Running)
	}
}

// yard is the servers of a soak: those that flap, and one that stalls.
type yard struct {
	random  *rand.Rand
	flaps   [8]netip.AddrPort
	open    [8]net.Listener
	stalls  netip.AddrPort
	connect checkers.Checker
	ask     checkers.Checker
	moves   atomic.Int64

	accepting sync.WaitGroup
}

func newYard(t *testing.T) *yard {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	y := &yard{random: rand.New(rand.NewPCG(seed, 0)), connect: tcp(t)}
	row, _ := kind.NewTable(kind.Env{}).Lookup("http")
	var err error
	if y.ask, err = row.New(map[string]any{}); err != nil {
		t.Fatal(err)
	}
	for i := range y.flaps {
		y.flaps[i], y.open[i] = listen(t, "127.0.0.1:0")
	}
	// Its backlog takes connections; nobody ever reads them.
	silent, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	y.stalls = silent.Addr().(*net.TCPAddr).AddrPort()
	return y
}

// stir lets servers come and go, and probes with them.
func (y *yard) stir(s *checkers.Scheduler, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		i := y.random.IntN(len(y.flaps))
		y.toggle(i)
		var probes []checkers.Probe
		add := func(check string, c checkers.Checker, target netip.AddrPort) {
			if y.random.IntN(5) > 0 {
				timing := checkers.Timing{Interval: 10 * time.Millisecond, Timeout: 30 * time.Millisecond, Rise: 1, Fall: 2,
					Window: checkers.Window{Runs: 9, Failures: 3}, Flap: checkers.Damping{Penalty: 1, Suppress: 20, Reuse: 1, HalfLife: time.Second}}
				fingerprint := fmt.Sprint(y.random.IntN(9) / 8)
				probes = append(probes, checkers.Probe{Key: checkers.Key{Check: check, Target: target}, Checker: c, Timing: timing, Fingerprint: fingerprint})
			}
		}
		for _, target := range y.flaps {
			add("connect", y.connect, target)
			add("ask", y.ask, target)
			add("few", few{y.connect}, target)
		}
		for n := range 5 {
			add(fmt.Sprint("stall", n), y.ask, y.stalls)
		}
		s.Set(probes)
	}
}

// toggle closes a server's port, or opens it again.
func (y *yard) toggle(i int) {
	if y.open[i] != nil {
		_ = y.open[i].Close()
		y.open[i] = nil
		return
	}
	l, err := net.Listen("tcp", y.flaps[i].String())
	if err != nil {
		return // somebody's own port meanwhile: it stays closed for now
	}
	y.open[i] = l
	y.accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	})
}

// still ends all that stir began, and tells what is left.
func (y *yard) still(t *testing.T, s *checkers.Scheduler) (goroutines int, memory uint64) {
	s.Set(nil)
	for i, l := range y.open {
		if l != nil {
			y.toggle(i)
		}
	}
	y.accepting.Wait()
	until(t, "the runs to end", func() bool { return s.Stats().Running == 0 })
	last := 0
	until(t, "goroutines to end", func() bool {
		last, goroutines = goroutines, runtime.NumGoroutine()
		return last == goroutines
	})
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return goroutines, m.HeapAlloc
}

// few is a check of which two may run at once.
type few struct{ checkers.Checker }

func (few) Slots() checkers.Slots { return checkers.Slots{Group: "few", Most: 2} }
