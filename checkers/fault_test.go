// SPDX-License-Identifier: Apache-2.0

package checkers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
)

// brisk tells within a tenth of a second.
var brisk = checkers.Timing{Interval: 20 * time.Millisecond, FastInterval: 10 * time.Millisecond, Timeout: 10 * time.Second, Rise: 1, Fall: 2}

// listen is a listener on loopback that takes connections and says nothing.
func listen(t testing.TB, address string) (netip.AddrPort, net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err == nil:
				_ = conn.Close()
			default:
				time.Sleep(time.Millisecond) // no descriptor
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort(), l
}

func tcp(t testing.TB) checkers.Checker {
	t.Helper()
	row, _ := kind.NewTable(kind.Env{}).Lookup("tcp")
	c, err := row.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// watch runs probes until the test ends, and tells what it heard so far.
func watch(t *testing.T, probes ...checkers.Probe) (s *checkers.Scheduler, heard func() []string) {
	var mu sync.Mutex
	var all []string
	s = checkers.NewScheduler(checkers.Options{OnTransition: func(tr checkers.Transition) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, fmt.Sprint(tr.Status, " ", tr.Result.Class))
	}})
	s.Set(probes)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return s, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// until waits for something that has to come.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

// local counts the runs that the director could not make.
func local(s *checkers.Scheduler) (n uint64) {
	for _, r := range s.Stats().Runs {
		if r.Outcome == checkers.OutcomeUnknown && r.Class == checkers.ClassLocal {
			n += r.Count
		}
	}
	return n
}

// TestNoDescriptors takes all file descriptors that the process may have: no run
// succeeds, and no server goes down.
func TestNoDescriptors(t *testing.T) {
	target, _ := listen(t, "127.0.0.1:0")
	s, heard := watch(t, checkers.Probe{Key: checkers.Key{Check: "tcp", Target: target}, Checker: tcp(t), Timing: brisk})
	until(t, "the first result", func() bool { return len(heard()) > 0 })

	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 128
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	restore := sync.OnceFunc(func() {
		for _, f := range taken {
			_ = f.Close()
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
	defer restore()
	until(t, "20 runs without a descriptor", func() bool {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			taken = append(taken, f)
		}
		return local(s) >= 20
	})
	restore()
	runs := s.Snapshot()[0].Runs
	until(t, "runs after the fault", func() bool { return s.Snapshot()[0].Runs > runs+10 })
	if got := heard(); !slices.Equal(got, []string{"up none"}) {
		t.Errorf("heard %q", got)
	}
}

// TestNoPorts leaves checks one local port, which is taken.
func TestNoPorts(t *testing.T) {
	target, _ := listen(t, "127.0.0.1:0")
	_, taken := listen(t, "127.0.0.1:0")
	port := taken.Addr().(*net.TCPAddr).AddrPort()
	none := kind.From(tcp(t), kind.Origin{Source: port.Addr(), Ports: kind.Ports{Low: port.Port(), High: port.Port()}})
	probe := checkers.Probe{Key: checkers.Key{Check: "tcp", Target: target}, Checker: tcp(t), Timing: brisk}
	s, heard := watch(t, probe)
	until(t, "the first result", func() bool { return len(heard()) > 0 })
	probe.Checker, probe.Fingerprint = none, "none"
	s.Set([]checkers.Probe{probe})
	until(t, "20 runs without a port", func() bool { return local(s) >= 20 })
	if got := heard(); !slices.Equal(got, []string{"up none"}) {
		t.Errorf("heard %q", got)
	}
}

// stopped is the environment of the child that TestStopped stops.
const stopped = "MAITRED_TEST_STOPPED"

// TestStopped stops a process that checks a server, which takes connections and
// gives each a second until it closes it, and lets it go on: the answers that it
// missed meanwhile move nothing.
func TestStopped(t *testing.T) {
	if address := os.Getenv(stopped); address != "" {
		checkWhileStopped(t, netip.MustParseAddrPort(address))
		return
	}
	target, _ := listen(t, "127.0.0.1:0")
	child := exec.Command(os.Args[0], "-test.run", "^TestStopped$", "-test.v")
	child.Env = append(os.Environ(), stopped+"="+target.String())
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	signal := func(s syscall.Signal) {
		if err := child.Process.Signal(s); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		time.Sleep(time.Second)
		signal(syscall.SIGSTOP)
		time.Sleep(700 * time.Millisecond)
		signal(syscall.SIGCONT)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, out.String())
	}
	t.Log(out.String())
}

// slow is a check that waits within its timeout, as for a server that is slow.
type slow struct{ checkers.Checker }

func (s slow) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	timer := time.NewTimer(300 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.Checker.Check(ctx, target)
	case <-ctx.Done():
		return checkers.Result{Outcome: checkers.OutcomeFail, Class: checkers.ClassStalled}
	}
}

// checkWhileStopped is the child: whatever its parent does to it, all of its
// probes go up and stay so.
func checkWhileStopped(t *testing.T, target netip.AddrPort) {
	timing := checkers.Timing{Interval: 450 * time.Millisecond, Timeout: 400 * time.Millisecond, Rise: 1, Fall: 1}
	var probes []checkers.Probe
	for i := range 50 {
		key := checkers.Key{Check: "slow", Target: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}), target.Port())}
		probes = append(probes, checkers.Probe{Key: key, Checker: slow{anywhere{tcp(t), target}}, Timing: timing})
	}
	s, heard := watch(t, probes...)
	time.Sleep(4 * time.Second)
	for _, h := range heard() {
		if h != "up none" {
			t.Errorf("heard %q", h)
		}
	}
	if n := len(heard()); n != len(probes) {
		t.Errorf("heard %d times, want once for each of %d probes", n, len(probes))
	}
	if n := s.Stats().Discarded; n == 0 {
		t.Error("no failure was discarded: the test proves nothing")
	}
	t.Logf("%d failures were discarded", s.Stats().Discarded)
}

// anywhere asks one server, whatever the target.
type anywhere struct {
	checkers.Checker
	server netip.AddrPort
}

func (a anywhere) Check(ctx context.Context, _ netip.AddrPort) checkers.Result {
	return a.Checker.Check(ctx, a.server)
}
