// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// TestRestart kills the daemon in every scene. The next one begins with nothing
// known: what the kernel holds stays as it is; and when the same is wanted again
// it has nothing to do.
func TestRestart(t *testing.T) {
	for _, s := range story()[:9] { // those with baseConfig
		t.Run(s.name, func(t *testing.T) {
			r := newRig(t)
			r.reach(t, s.want)
			before := contents(r.kernel)
			r.start(t)
			pending, _ := state.Apply(state.New(), day, state.Loaded{Config: baseConfig()})
			w := reconcile.Derive(pending, reconcile.Env{IPVS: true})
			r.reach(t, w)
			if got := contents(r.kernel); got != before {
				t.Errorf("while pending the kernel holds\n%s\ninstead of\n%s", got, before)
			}
			r.reach(t, s.want)
			if got := contents(r.kernel); got != before {
				t.Errorf("then it holds\n%s\ninstead of\n%s", got, before)
			}
			if len(r.repairs) > 0 {
				t.Errorf("a restart repaired %v", r.repairs)
			}
		})
	}
}

// TestRestartIsSilent sees that a restart makes no call that changes anything but
// the attachment, which is asked for anew.
func TestRestartIsSilent(t *testing.T) {
	r := newRig(t)
	w := story()[1].want
	r.reach(t, w)
	r.start(t)
	var calls []string
	r.kernel.Changed = func(call string) { calls = append(calls, call) }
	r.reach(t, w)
	if len(calls) != 1 || calls[0] != "attach to eth0" {
		t.Errorf("calls %q", calls)
	}
}

// TestRestartFindsRemovedService removes a service while no daemon runs: the
// ledger knows that it was ours.
func TestRestartFindsRemovedService(t *testing.T) {
	r := newRig(t)
	scenes := story()
	r.reach(t, scenes[1].want)
	r.start(t)
	r.reach(t, scenes[len(scenes)-1].want)
	if len(r.kernel.IPVS)+len(r.kernel.AddrTable)+len(r.kernel.RowTable) > 0 {
		t.Errorf("the kernel still holds\n%s", contents(r.kernel))
	}
}

// TestUnreadableLedger treats as ours only what is wanted.
func TestUnreadableLedger(t *testing.T) {
	for name, text := range map[string]string{"corrupt": "{", "of another form": `["x"]`, "empty": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			scenes := story()
			r.reach(t, scenes[1].want)
			if err := os.WriteFile(r.ledger, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			ledger, err := reconcile.OpenLedger(r.ledger)
			if err == nil {
				t.Fatal("nothing was said of it")
			}
			if ledger == nil {
				t.Fatal("no ledger to go on with")
			}
			r.engine = reconcile.New(reconcile.Options{Targets: r.kernel.Targets(ledger), Logger: quiet(), Resync: time.Minute})
			addresses := len(r.kernel.AddrTable)
			r.reach(t, scenes[1].want) // wanted, so adopted
			r.reach(t, scenes[len(scenes)-1].want)
			if len(r.kernel.IPVS) > 0 {
				t.Errorf("services that were wanted are still there:\n%s", contents(r.kernel))
			}
			if len(r.kernel.AddrTable) != addresses {
				t.Errorf("addresses that may be somebody else's were removed:\n%s", contents(r.kernel))
			}
		})
	}
}

// TestLedgerComesFirst sees that what the kernel is given is in the ledger
// before, and that nothing is given which the ledger can't remember.
func TestLedgerComesFirst(t *testing.T) {
	r := newRig(t)
	r.kernel.Changed = func(call string) {
		ledger, err := reconcile.OpenLedger(r.ledger)
		if err != nil {
			t.Fatal(err)
		}
		if missing := unknown(r.kernel, ledger); missing != "" {
			t.Errorf("after %s the ledger does not have %s", call, missing)
		}
	}
	r.reach(t, story()[1].want)

	broken := newRig(t)
	if err := os.Remove(filepath.Dir(broken.ledger)); err != nil {
		t.Fatal(err)
	}
	broken.engine.Update(story()[1].want)
	if err := broken.engine.Sync(t.Context()); err == nil {
		t.Error("no error without a ledger")
	}
	if len(broken.kernel.IPVS)+len(broken.kernel.AddrTable) > 0 {
		t.Errorf("without a ledger the kernel was given\n%s", contents(broken.kernel))
	}
}

// unknown names something of ours in the kernel that the ledger does not have.
func unknown(k *fake.Kernel, ledger *reconcile.Ledger) string {
	for v := range k.IPVS {
		if !ledger.HasVirtual(v) {
			return v.Addr.String()
		}
	}
	for a := range k.AddrTable {
		if !ledger.HasAddress(a) {
			return a.String()
		}
	}
	return ""
}
