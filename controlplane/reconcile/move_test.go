// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// on is what is wanted with these interfaces.
func on(interfaces ...string) reconcile.Want {
	return derive(func(c *config.Config) { c.Director.Interfaces = interfaces }, true, result(a, up), result(b, up), result(c, up))
}

// engines are the interfaces that the engine is on, addresses those that a
// service address is on.
func (r *rig) places() (engines, addresses []string) {
	on := map[string]bool{}
	for a := range r.kernel.AddrTable {
		on[a.Interface] = true
	}
	return slices.Sorted(maps.Keys(r.kernel.Engines)), slices.Sorted(maps.Keys(on))
}

// TestMoveToAWrongInterface sees nothing leave an interface before the one that
// takes over holds.
func TestMoveToAWrongInterface(t *testing.T) {
	for _, test := range []struct {
		name      string
		to        []string
		fail      string // the call that fails; empty: the interface is not there
		addresses []string
	}{
		{"not there", []string{"eth9"}, "", []string{"eth0"}},
		{"one of two not there", []string{"eth1", "eth9"}, "", []string{"eth0", "eth1"}},
		{"refuses the engine", []string{"eth1"}, "attach to eth1", []string{"eth0", "eth1"}},
		{"attachments can't be read", []string{"eth1"}, "read attachments", []string{"eth0", "eth1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.kernel.AddLink("eth1", 3)
			r.reach(t, on("eth0"))
			before := contents(r.kernel)
			r.kernel.Fail = func(call string) error {
				if call == test.fail {
					return errInjected
				}
				return nil
			}
			r.engine.Update(on(test.to...))
			for range 3 {
				if err := r.engine.Sync(t.Context()); err == nil {
					t.Fatal("the pass went well")
				}
			}
			engines, addresses := r.places()
			if !slices.Contains(engines, "eth0") || !slices.Equal(addresses, test.addresses) {
				t.Errorf("engine on %v, addresses on %v, want eth0 and %v", engines, addresses, test.addresses)
			}
			r.kernel.Fail = nil
			if r.reach(t, on("eth0")); contents(r.kernel) != before {
				t.Errorf("put back, the kernel holds\n%s\ninstead of\n%s", contents(r.kernel), before)
			}
			if len(r.repairs) > 0 {
				t.Errorf("drift %q, though nobody changed anything", r.repairs)
			}
		})
	}
}

// TestMove leaves nothing behind once the new interface holds, and a service
// that is gone takes its address with it whatever the engine does.
func TestMove(t *testing.T) {
	r := newRig(t)
	r.kernel.AddLink("eth1", 3)
	r.reach(t, on("eth0"))
	r.reach(t, on("eth1"))
	engines, addresses := r.places()
	if !slices.Equal(engines, []string{"eth1"}) || !slices.Equal(addresses, []string{"eth1"}) {
		t.Errorf("engine on %v, addresses on %v, want eth1", engines, addresses)
	}
	r.engine.Update(reconcile.Want{Attachments: map[string]config.Attach{"eth9": config.AttachAuto}})
	err := r.engine.Sync(t.Context())
	if err == nil || !strings.Contains(err.Error(), "attach to eth9") {
		t.Errorf("attach to an interface that is not there: %v", err)
	}
	if n := len(r.kernel.AddrTable); n > 0 {
		t.Errorf("%d addresses of services that are gone", n)
	}
}

// TestOwnHandIsNoDrift goes back after a change that succeeded by half.
func TestOwnHandIsNoDrift(t *testing.T) {
	r := newRig(t)
	r.kernel.AddLink("eth1", 3)
	r.kernel.AddLink("eth2", 4)
	r.reach(t, on("eth0", "eth1"))
	r.kernel.Fail = func(call string) error {
		if call == "detach from eth1" {
			return errInjected
		}
		return nil
	}
	r.engine.Update(on("eth2"))
	if err := r.engine.Sync(t.Context()); !errors.Is(err, errInjected) {
		t.Fatalf("sync: %v", err)
	}
	r.kernel.Fail = nil
	r.reach(t, on("eth0", "eth1"))
	if len(r.repairs) > 0 {
		t.Errorf("drift %q, though nobody changed anything", r.repairs)
	}
}

// TestMoveWhilePending keeps the engine where undecided services still have their
// addresses.
func TestMoveWhilePending(t *testing.T) {
	r := newRig(t)
	r.kernel.AddLink("eth1", 3)
	r.reach(t, on("eth0"))
	move := func(c *config.Config) { c.Director.Interfaces = []string{"eth1"} }
	r.reach(t, derive(move, true))
	if engines, _ := r.places(); !slices.Equal(engines, []string{"eth0", "eth1"}) {
		t.Errorf("the engine is on %q while nothing is decided", engines)
	}
	r.reach(t, on("eth1"))
	if engines, _ := r.places(); !slices.Equal(engines, []string{"eth1"}) {
		t.Errorf("the engine is on %q in the end", engines)
	}
}
