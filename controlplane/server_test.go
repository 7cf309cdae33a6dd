// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	serverA = "10.0.0.11"
	serverB = "10.0.0.12"
)

// rig is a daemon made of fakes.
type rig struct {
	*journal
	t        *testing.T
	socket   string
	client   *api.Client
	engine   *fakeEngine
	datapath *fakeDatapath
	traffic  Traffic
	inputs   Inputs
	hangups  chan os.Signal
	logger   *slog.Logger

	mu      sync.Mutex
	config  *config.Config
	loadErr error

	stop func() error // ends the daemon and returns what Run did
}

func newRig(t *testing.T, change func(*rig)) *rig {
	j := newJournal()
	socket := filepath.Join(t.TempDir(), "maitred.sock")
	r := &rig{
		t: t, journal: j, socket: socket, config: shop(socket), hangups: make(chan os.Signal),
		logger: slog.New(slog.DiscardHandler),
		engine: &fakeEngine{journal: j}, datapath: &fakeDatapath{journal: j}, client: api.NewClient(socket),
	}
	if change != nil {
		change(r)
	}
	return r
}

func (r *rig) load(string) (*config.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config, r.loadErr
}

func (r *rig) set(cfg *config.Config, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config, r.loadErr = cfg, err
}

func (r *rig) wire(_ *config.Config, in Inputs) (Parts, error) {
	r.inputs = in
	return Parts{
		Prober: &fakeProber{journal: r.journal}, Engine: r.engine, Datapath: r.datapath, Traffic: r.traffic,
		Links:    func(ctx context.Context, changed func()) error { changed(); <-ctx.Done(); return nil },
		Withdraw: func() error { r.add("programs withdrawn"); return nil },
		Close:    func() error { r.add("closed"); return nil },
	}, nil
}

func (r *rig) options() Options {
	return Options{
		File: "maitred.yaml", Version: "test", Load: r.load, Wire: r.wire, Hangups: r.hangups,
		Logger: r.logger, Notify: func(s string) { r.add(strings.Fields(s)[0]) },
		Watchdog: 20 * time.Millisecond,
	}
}

// start runs the daemon until the test ends it, and waits until it answers.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(r.options()).Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	r.t.Cleanup(func() { _ = r.stop() }) // tests that care for the error stop it themselves
	r.expect("resync", 1)                // the links task comes after prober and decider
	r.status()
}

func (r *rig) expect(line string, n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	if !r.wait(ctx, line, n) {
		r.t.Fatalf("%q did not happen %d times in:\n%s", line, n, strings.Join(r.all(), "\n"))
	}
}

func (r *rig) status() api.Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	for {
		st, err := r.client.Status(ctx)
		if err == nil {
			return st
		}
		if !errors.Is(err, api.ErrNotRunning) {
			r.t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // the socket is not there yet
	}
}

// undecorated drops what has no place in an order that tests assert.
func undecorated(lines []string) []string {
	return slices.DeleteFunc(lines, func(l string) bool {
		return l == "WATCHDOG=1" || l == "resync"
	})
}

func TestLife(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	if st := r.status(); st.Ready || st.Services[0].Mode != "pending" {
		t.Errorf("at start: ready %v, mode %s; want a pending service", st.Ready, st.Services[0].Mode)
	}
	r.inputs.Probed(up(serverA))
	r.expect("READY=1", 1)
	r.inputs.Probed(down(serverA))
	r.inputs.Probed(down(serverB))
	r.expect("shop sorry", 1)
	r.expect("WATCHDOG=1", 2)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got := undecorated(r.all())
	head := []string{"shop pending", "sync"}
	if d := cmp.Diff(head, got[:len(head)]); d != "" {
		t.Errorf("start (-want +got):\n%s", d)
	}
	tail := []string{"STOPPING=1", "prober ends", "engine ends", "closed"}
	if d := cmp.Diff(tail, got[len(got)-len(tail):]); d != "" {
		t.Errorf("stop (-want +got):\n%s", d)
	}
}

func TestStatus(t *testing.T) {
	r := newRig(t, func(r *rig) {
		v := config.Virtual{Addr: r.config.Services[0].Virtuals()[0].Addr, Proto: config.TCP}
		r.datapath.verdicts = Verdicts{
			Services: map[config.Virtual]map[string]api.Counter{v: {"page": {Packets: 4, Bytes: 2000}}},
			Total:    map[string]api.Counter{"page": {Packets: 4, Bytes: 2000}},
		}
	})
	r.start()
	r.inputs.Probed(down(serverA))
	r.inputs.Probed(down(serverB))
	r.expect("READY=1", 1)
	st := r.status()
	want := api.Service{
		Name: "shop", Mode: "sorry", Pool: "app", Method: "nat", Sched: "wlc", Page: "closed", Outage: "closed", Orphans: "reset",
		Reason: st.Services[0].Reason, Since: st.Services[0].Since, Live: 0, Total: 2, Budget: Budget(r.config, r.config.Services[0]).Seconds(),
		Virtuals: []string{"192.0.2.10:80/tcp"}, Verdicts: map[string]api.Counter{"page": {Packets: 4, Bytes: 2000}},
		Engine: "none", Attached: []string{"eth0 tc"}, Servers: []string{"a", "b"}, Checks: []string{"web"}, UpWhen: "all(web)", Quorum: api.Quorum{Min: 1, Keep: 1, Reach: 1},
	}
	if d := cmp.Diff([]api.Service{want}, st.Services); d != "" {
		t.Errorf("services (-want +got):\n%s", d)
	}
	if len(st.Servers) != 2 || st.Servers[0].Verdict != "down" || !strings.Contains(st.Servers[0].Reason, "connection refused") {
		t.Errorf("servers %+v", st.Servers)
	}
	if len(st.Probes) != 2 || len(st.Targets) != 1 || len(st.Attachments) != 1 || st.Verdicts["page"].Packets != 4 {
		t.Errorf("status %+v", st)
	}
	if d := cmp.Diff([]string{"no route leads to 10.0.0.11"}, st.Notices); d != "" {
		t.Errorf("notices (-want +got):\n%s", d)
	}
	if st.PID != os.Getpid() || st.Version != "test" || st.Config.File != "maitred.yaml" || st.Config.Loaded.IsZero() {
		t.Errorf("identity %+v", st)
	}
}

func TestStatusNamesWhatTheKernelDoesNotTell(t *testing.T) {
	r := newRig(t, func(r *rig) { r.datapath.err = errInjected })
	r.start()
	if st := r.status(); len(st.Problems) != 2 || len(st.Services) != 1 {
		t.Errorf("problems %q with %d services, want 2 with 1", st.Problems, len(st.Services))
	}
}

func TestOnStop(t *testing.T) {
	for _, tc := range []struct {
		name string
		how  config.OnStop
		want []string
	}{
		{"keep", config.OnStopKeep, []string{"engine ends", "closed"}},
		{"withdraw", config.OnStopWithdraw, []string{"engine ends", "rows withdrawn", "programs withdrawn", "closed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.config.Director.OnStop = tc.how })
			r.start()
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			got := r.all()
			if d := cmp.Diff(tc.want, got[len(got)-len(tc.want):]); d != "" {
				t.Errorf("end (-want +got):\n%s", d)
			}
		})
	}
}

func TestWithdrawThatFailsKeepsThePrograms(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.config.Director.OnStop = config.OnStopWithdraw
		r.engine.withdrawErr = errInjected
	})
	r.start()
	if err := r.stop(); !errors.Is(err, errInjected) {
		t.Errorf("run returned %v, want the fault", err)
	}
	if slices.Contains(r.all(), "programs withdrawn") {
		t.Error("programs were taken out under rows that are still there")
	}
}

func TestWithdrawIsTriedThoughAPartFailsToStop(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.config.Director.OnStop = config.OnStopWithdraw
		r.engine.stopErr = errInjected
	})
	r.start()
	if err := r.stop(); !errors.Is(err, errInjected) {
		t.Errorf("run returned %v, want the fault", err)
	}
	if !slices.Contains(r.all(), "programs withdrawn") {
		t.Error("nothing was withdrawn")
	}
}

func TestPartThatFailsStopsAll(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.engine.runErr = errInjected
		r.config.Director.OnStop = config.OnStopWithdraw
	})
	err := New(r.options()).Run(t.Context())
	if !errors.Is(err, errInjected) || !strings.Contains(err.Error(), "engine: ") {
		t.Errorf("run returned %v, want the fault and its part", err)
	}
	if got := r.all(); got[len(got)-1] != "closed" || !slices.Contains(got, "prober ends") {
		t.Errorf("not all was stopped:\n%s", strings.Join(got, "\n"))
	}
	if slices.Contains(r.all(), "rows withdrawn") {
		t.Error("a part that failed took everything out of the kernel")
	}
}

func TestFirstPassThatFailsIsNoEnd(t *testing.T) {
	r := newRig(t, func(r *rig) { r.engine.syncErr = errInjected })
	r.start()
	if err := r.stop(); err != nil {
		t.Errorf("run returned %v", err)
	}
}

// A start goes on from what the kernel was left with: exchanges of the page are
// finished before the service serves.
func TestStartGoesOnFromWhatTheKernelHolds(t *testing.T) {
	for _, tc := range []struct {
		name string
		held state.Mode
		err  error
		want string
	}{
		{"sorry", state.ModeSorry, nil, "shop linger"},
		{"serve", state.ModeServe, nil, "shop serve"},
		{"unreadable", state.ModePending, errInjected, "shop serve"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				r.config.Services[0].Sorry.Linger = time.Minute
				r.datapath.held = map[config.Virtual]state.Mode{r.config.Services[0].Virtuals()[0]: tc.held}
				r.datapath.err = tc.err
			})
			r.start()
			r.inputs.Probed(up(serverA))
			r.expect(tc.want, 1)
			if first := r.all()[0]; first != "shop pending" {
				t.Errorf("began with %q", first)
			}
		})
	}
}

func TestHeldModes(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.10:80"), netip.MustParseAddrPort("[2001:db8::10]:443")
	got := heldModes(map[maps.Key]maps.Service{
		{Addr: a, Proto: 6}: {Mode: maps.ModeSorry}, {Addr: b, Proto: 6}: {Mode: maps.ModeLinger},
	})
	want := map[config.Virtual]state.Mode{
		{Addr: a, Proto: config.TCP}: state.ModeSorry, {Addr: b, Proto: config.TCP}: state.ModeLinger,
	}
	if d := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); d != "" {
		t.Errorf("modes (-want +got):\n%s", d)
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	r := newRig(t, nil)
	r.start()
	opts := r.options()
	opts.Wire = func(*config.Config, Inputs) (Parts, error) {
		t.Error("the second daemon got as far as the kernel")
		return Parts{}, errInjected
	}
	err := New(opts).Run(t.Context())
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("second daemon returned %v", err)
	}
	st := r.status() // the first still answers
	for _, part := range []string{"another maitred", r.socket} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
	if want := st.PID; locked.PID != strconv.Itoa(want) {
		t.Errorf("pid %s, want %d", locked.PID, want)
	}
}
