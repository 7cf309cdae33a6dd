// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
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
			w := reconcile.Derive(pending, reconcile.Env{Forwarding: config.ForwardingIPVS})
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

// TestRestartWithAnotherPage keeps the page that rows name until those rows are
// decided anew.
func TestRestartWithAnotherPage(t *testing.T) {
	r := newRig(t)
	r.reach(t, story()[7].want) // all down, page 1 is shown
	r.start(t)
	edit := func(c *config.Config) { c.Pages = []config.Page{closed(2)} }
	r.reach(t, derive(edit, true))
	if len(r.kernel.PageTable) != 2 {
		t.Errorf("while pending the kernel holds\n%s", contents(r.kernel))
	}
	r.reach(t, derive(edit, true, result(a, hard), result(b, hard), result(c, hard)))
	if _, kept := r.kernel.PageTable[1]; kept || len(r.kernel.PageTable) != 1 {
		t.Errorf("then the kernel holds\n%s", contents(r.kernel))
	}
}

// TestRestartKeepsUnknownServer serves by the first result, and leaves the server
// without one as it is: there, if it was there.
func TestRestartKeepsUnknownServer(t *testing.T) {
	for name, before := range map[string]int{"there": 1, "not there": 3} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.reach(t, story()[before].want) // b is up, or dead
			table := contents(&fake.Kernel{IPVS: r.kernel.IPVS})
			r.start(t)
			r.reach(t, derive(func(*config.Config) {}, true, result(a, up), result(c, up)))
			if got := contents(&fake.Kernel{IPVS: r.kernel.IPVS}); got != table {
				t.Errorf("IPVS holds\n%s\ninstead of\n%s", got, table)
			}
		})
	}
}

// TestCrashAtEachCall kills the daemon after each change of a pass. The next one
// knows enough to leave the kernel as it was before both, and to finish the job.
func TestCrashAtEachCall(t *testing.T) {
	scenes := story()
	empty := contents(fake.New())
	for i := 1; i < len(scenes); i++ {
		t.Run(scenes[i].name, func(t *testing.T) {
			for crashAfter, crashed := 1, true; crashed; crashAfter++ {
				r := newRig(t)
				r.reach(t, scenes[i-1].want)
				crashed = r.crash(t, scenes[i].want, crashAfter)
				r.start(t)
				if crashAfter%2 == 0 { // every other one goes on before it goes
					r.reach(t, scenes[i].want)
				}
				if err := r.engine.Withdraw(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := contents(r.kernel); got != empty {
					t.Fatalf("after a crash at change %d the kernel keeps\n%s", crashAfter, got)
				}
			}
		})
	}
}

// crash makes a pass end after some changes, and tells whether it came so far.
func (r *rig) crash(t *testing.T, w reconcile.Want, after int) bool {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes := 0
	r.kernel.Changed = func(string) {
		if changes++; changes == after {
			cancel()
		}
	}
	r.engine.Update(w)
	_ = r.engine.Sync(ctx) // nobody is left to hear of it
	r.kernel.Changed = nil
	return ctx.Err() != nil
}

// TestUnreadableLedger treats as ours only what is wanted.
func TestUnreadableLedger(t *testing.T) {
	for name, text := range map[string]string{"corrupt": "{", "of another form": `["x"]`, "empty": "", "null": "null"} {
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
