// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/maps"
)

// whole is a daemon of real parts, with real checks over loopback, on a kernel
// in memory.
type whole struct {
	t      *testing.T
	kernel *fake.Kernel
	file   string // of the configuration
	runs   atomic.Int32
	well   atomic.Bool // what the real server says of itself
	port   int
	client *api.Client
	stop   func() error
}

const wholeYAML = `director: {name: lb1, interfaces: [%s], resync_interval: 1s}
health: {defaults: {interval: 100ms, fast_interval: 20ms, timeout: 100ms, rise: 2, fall: 2}}
checks:
  - {name: web, http: {path: /healthz}}
pools:
  - {name: app, servers: [{name: a, address: 127.0.0.1, port: %d}], checks: [web]}
services:
  - {name: shop, addresses: [192.0.2.10], ports: [80], pool: app, sorry: {linger: 50ms}}
  - {name: api, addresses: [192.0.2.10], ports: [8080], pool: app}
%sadmin: {socket: %s}
`

func newWhole(t *testing.T) *whole {
	w := &whole{t: t, kernel: fake.New(), file: filepath.Join(t.TempDir(), "maitred.yaml")}
	w.well.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		w.runs.Add(1)
		if !w.well.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	w.port = server.Listener.Addr().(*net.TCPAddr).Port
	w.write("")
	w.client = api.NewClient(w.socket())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- New(Options{
			File: w.file, Load: func(p string) (*config.Config, error) { return config.Load(p) }, Wire: w.wire,
			Logger: slog.New(slog.DiscardHandler), Notify: func(string) {},
		}).Run(ctx)
	}()
	w.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *whole) socket() string { return filepath.Join(filepath.Dir(w.file), "m.sock") }

// write writes the configuration, with further services.
func (w *whole) write(more string) {
	w.t.Helper()
	w.writeOn("eth0", more)
}

// writeOn writes it for another interface.
func (w *whole) writeOn(name, more string) {
	w.t.Helper()
	if err := os.WriteFile(w.file, fmt.Appendf(nil, wholeYAML, name, w.port, more, w.socket()), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *whole) wire(cfg *config.Config, in Inputs) (Parts, error) {
	ledger, err := reconcile.OpenLedger(filepath.Join(filepath.Dir(w.file), "owned.json"))
	if err != nil {
		return Parts{}, err
	}
	return Parts{
		Prober: prober{checkers.NewScheduler(checkers.Options{Seed: cfg.Director.Name, OnTransition: in.Probed})},
		Engine: &engine{Engine: reconcile.New(reconcile.Options{
			Targets: w.kernel.Targets(ledger), Logger: in.Logger, Resync: cfg.Director.Resync,
			OnRepair:  func(d reconcile.Drift) { in.Repaired(d.Target, d.What) },
			OnTrouble: func(t reconcile.Trouble) { in.Troubled(t.Target, t.Before, t.Now) },
		}), by: config.ForwardingIPVS, log: in.Logger},
		Datapath: &fakeDatapath{journal: newJournal()},
		Links:    func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil },
		Withdraw: func() error { return nil },
		Close:    func() error { return nil },
	}, nil
}

// eventually waits until the kernel looks so.
func (w *whole) eventually(what string, looks func(k *fake.Kernel) bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok := false
		w.kernel.With(func() { ok = looks(w.kernel) })
		if ok {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			w.t.Fatalf("did not come: %s\n%+v\n%+v", what, w.kernel.RowTable, w.kernel.IPVS)
		}
	}
}

// mode is what the row of a virtual service says.
func mode(address string, m maps.Mode) func(*fake.Kernel) bool {
	return func(k *fake.Kernel) bool {
		for key, row := range k.RowTable {
			if key.Addr.String() == address {
				return row.Mode == m
			}
		}
		return false
	}
}

func TestWholeOutageAndItsEnd(t *testing.T) {
	w := newWhole(t)
	w.eventually("shop serves", mode("192.0.2.10:80", maps.ModeServe))
	w.eventually("a destination", func(k *fake.Kernel) bool {
		for _, f := range k.IPVS {
			for _, d := range f.Destinations {
				if d.Weight == 100 {
					return true
				}
			}
		}
		return false
	})
	w.well.Store(false)
	w.eventually("shop says sorry", mode("192.0.2.10:80", maps.ModeSorry))
	w.eventually("api says sorry", mode("192.0.2.10:8080", maps.ModeSorry))
	w.well.Store(true)
	w.eventually("shop serves again", mode("192.0.2.10:80", maps.ModeServe))
	w.eventually("api lingers", mode("192.0.2.10:8080", maps.ModeLinger))
}

func TestWholeDriftIsRepairedAndTold(t *testing.T) {
	w := newWhole(t)
	w.eventually("shop serves", mode("192.0.2.10:80", maps.ModeServe))
	w.eventually("an IPVS service", func(k *fake.Kernel) bool { return len(k.IPVS) == 2 })
	w.waitSynced()
	w.kernel.With(func() { clear(w.kernel.IPVS) })
	w.eventually("the services are back", func(k *fake.Kernel) bool { return len(k.IPVS) == 2 })
	drift := 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := w.client.Events(ctx, api.Query{N: -1, Follow: true}, func(e api.Event) error {
		if e.Kind != "drift" {
			return nil
		}
		drift++
		return errInjected // seen enough
	})
	if drift == 0 {
		t.Errorf("nobody was told: %v", err)
	}
}

// waitSynced waits until every target has agreed once.
func (w *whole) waitSynced() {
	w.t.Helper()
	w.eventually("all targets agree", func(*fake.Kernel) bool {
		st, err := w.client.Status(w.t.Context())
		if err != nil || !st.Ready {
			return false
		}
		for _, target := range st.Targets {
			if !target.InSync {
				return false
			}
		}
		return true
	})
}

func TestWholeReloadKeepsTheCountersOfChecks(t *testing.T) {
	w := newWhole(t)
	w.eventually("shop serves", mode("192.0.2.10:80", maps.ModeServe))
	w.waitSynced()
	before, err := w.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.write("  - {name: new, addresses: [192.0.2.11], ports: [80], pool: app}\n")
	if got, err := w.client.Reload(t.Context()); err != nil || !got.OK {
		t.Fatalf("reload: %+v, %v", got, err)
	}
	after, err := w.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Probes) != 1 || len(after.Probes) != 1 {
		t.Fatalf("%d and then %d probes, want one that all services share", len(before.Probes), len(after.Probes))
	}
	if b, a := before.Probes[0], after.Probes[0]; a.Runs < b.Runs || a.Since != b.Since || a.Status != "up" {
		t.Errorf("the probe began anew: %+v, then %+v", b, a)
	}
	if runs, served := after.Probes[0].Runs, w.runs.Load(); int64(served)-int64(runs) > 2 {
		t.Errorf("the server saw %d checks, the probe made %d", served, runs)
	}
	w.eventually("the new service serves", mode("192.0.2.11:80", maps.ModeServe))
	w.write("  - {name: new, addresses: [192.0.2.11], ports: [80], pool: nowhere}\n")
	got, err := w.client.Reload(t.Context())
	if err != nil || got.OK || len(got.Errors) != 1 {
		t.Fatalf("reload of a mistake: %+v, %v", got, err)
	}
	w.eventually("the new service still serves", mode("192.0.2.11:80", maps.ModeServe))
}
