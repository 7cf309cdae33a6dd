// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
)

// TestTroubleIsToldOnce hears of each change in what keeps a target from
// agreeing, however many passes it lasts.
func TestTroubleIsToldOnce(t *testing.T) {
	k := fake.New()
	var got []reconcile.Trouble
	e := reconcile.New(reconcile.Options{
		Targets: []reconcile.Target{reconcile.NewAttachments(k)}, Logger: quiet(),
		OnTrouble: func(t reconcile.Trouble) { got = append(got, t) },
	})
	want := reconcile.Want{Attachments: map[string]config.Attach{"eth9": config.AttachTC}}
	e.Update(want)
	passes := func(fails bool) {
		for range 3 {
			if err := e.Sync(t.Context()); (err != nil) != fails {
				t.Fatalf("sync: %v", err)
			}
		}
	}
	passes(true)
	k.Fail = func(call string) error {
		if call == "attach to eth9" {
			return errInjected
		}
		return nil
	}
	passes(true)
	k.Fail = nil
	k.AddLink("eth9", 9)
	passes(false)
	absent, injected := "attach to eth9, mode tc: no interface eth9", "attach to eth9, mode tc: injected"
	if d := cmp.Diff([]reconcile.Trouble{
		{Target: "attachments", Before: "", Now: absent},
		{Target: "attachments", Before: absent, Now: injected},
		{Target: "attachments", Before: injected, Now: ""},
	}, got); d != "" {
		t.Errorf("troubles (-want +got):\n%s", d)
	}
}
