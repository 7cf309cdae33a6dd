// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/controlplane/state"
	kernel "github.com/maitred-lb/maitred/maps"
	requires "github.com/maitred-lb/maitred/test/kernel"
)

// TestHandover starts with IPVS over the kernel's tables of a director that has
// forwarded by eBPF: they stay until the services are decided, and no longer.
func TestHandover(t *testing.T) {
	requires.RequireBPF(t)
	path := filepath.Join("/sys/fs/bpf", fmt.Sprintf("maitred-handover-%d", os.Getpid()))
	k := fake.New() // has what else there is
	open := func(o kernel.Options) (*kernel.Maps, *reconcile.Engine) {
		t.Helper()
		m, err := kernel.Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		ledger, err := reconcile.OpenLedger(filepath.Join(t.TempDir(), "owned.json"))
		if err != nil {
			t.Fatal(err)
		}
		return m, reconcile.New(reconcile.Options{Logger: quiet(), Targets: []reconcile.Target{
			reconcile.NewSorry(m, m), reconcile.NewVirtuals(k, k, ledger), reconcile.NewBalance(&unprobed{Maps: m}),
		}})
	}
	reach := func(e *reconcile.Engine, w reconcile.Want) {
		t.Helper()
		e.Update(w)
		if err := e.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m, e := open(kernel.Options{Forwarding: true, Flows: 1 << 14})
	reach(e, storyOf(config.ForwardingEBPF, config.NAT)[1].want)
	rows := func() string {
		servers, err := m.Servers()
		if err != nil {
			t.Fatal(err)
		}
		shares, err := m.Forwards()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(servers, shares)
	}
	before := rows()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m, e = open(kernel.Options{})
	t.Cleanup(func() { _ = m.Withdraw(); _ = m.Close() })
	pending, _ := state.Apply(state.New(), day, state.Loaded{Config: baseConfig()})
	reach(e, reconcile.Derive(pending, machine(config.ForwardingIPVS)))
	if got := rows(); got != before {
		t.Errorf("while pending the tables have\n%s\ninstead of\n%s", got, before)
	}
	reach(e, story()[1].want)
	left, err := reconcile.NewBalance(m).Holds(t.Context())
	if err != nil || left || len(k.IPVS) == 0 {
		t.Errorf("in the end: held %t, %v, %d services of IPVS\n%s", left, err, len(k.IPVS), tables(t, m))
	}
}
