// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/maps"
)

var errInjected = errors.New("injected")

// TestFaultAtEachCall fails each call to the kernel in turn, on each way from one
// scene to the next: after every single change nothing points at nothing, and a
// pass without fault then leads to the same end.
func TestFaultAtEachCall(t *testing.T) {
	for name, scenes := range stories() {
		ends := faultless(t, scenes)
		for i := 1; i < len(scenes); i++ {
			t.Run(name+", "+scenes[i].name, func(t *testing.T) {
				faults := 0
				for failAt := 0; failOnce(t, scenes[i-1].want, scenes[i].want, ends[i], failAt); failAt++ {
					faults++
				}
				if faults == 0 {
					t.Error("no call was made that could fail")
				}
			})
		}
	}
}

// failOnce fails one call on the way from one Want to another, unless there are
// not so many.
func failOnce(t *testing.T, from, to reconcile.Want, end string, failAt int) bool {
	t.Helper()
	r := newRig(t)
	r.reach(t, from)
	calls, failed := 0, ""
	r.kernel.Fail = func(call string) error {
		calls++
		if calls-1 == failAt {
			failed = call
			return errInjected
		}
		return nil
	}
	r.watch(t, from, to, &failed)
	r.engine.Update(to)
	err := r.engine.Sync(t.Context())
	if failed == "" {
		if err != nil {
			t.Fatalf("without fault: %v", err)
		}
		return false
	}
	if !errors.Is(err, errInjected) {
		t.Fatalf("%s failed, and the pass says %v", failed, err)
	}
	r.kernel.Fail = nil
	if err := r.engine.Sync(t.Context()); err != nil {
		t.Fatalf("the pass after %s failed: %v", failed, err)
	}
	if got := contents(r.kernel); got != end {
		t.Fatalf("after %s failed the kernel ends with\n%s\ninstead of\n%s", failed, got, end)
	}
	return true
}

// TestManyFaults fails calls at random for many passes in a row.
func TestManyFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for name, scenes := range stories() {
		t.Run(name, func(t *testing.T) {
			ends := faultless(t, scenes)
			for range 20 {
				failAtRandom(t, scenes, ends, random)
			}
		})
	}
}

func failAtRandom(t *testing.T, scenes []scene, ends []string, random *rand.Rand) {
	t.Helper()
	r := newRig(t)
	r.reach(t, scenes[0].want)
	for i := 1; i < len(scenes); i++ {
		from, to := scenes[i-1].want, scenes[i].want
		failed := ""
		r.kernel.Fail = func(call string) error {
			if random.IntN(5) == 0 {
				failed = call
				return errInjected
			}
			return nil
		}
		r.watch(t, from, to, &failed)
		r.engine.Update(to)
		for range 8 {
			_ = r.engine.Sync(t.Context()) // the outcome is what counts
		}
		r.kernel.Fail = nil
		r.reach(t, to)
		if got := contents(r.kernel); got != ends[i] {
			t.Fatalf("%s: the kernel ends with\n%s\ninstead of\n%s", scenes[i].name, got, ends[i])
		}
	}
}

// watch looks for danglers after every change.
func (r *rig) watch(t *testing.T, from, to reconcile.Want, failed *string) {
	r.kernel.Changed = func(call string) {
		if d := dangling(r.kernel, from, to); d != "" {
			t.Errorf("after %s, with %q failed: %s", call, *failed, d)
		}
	}
}

// faultless returns what the kernel holds at the end of each scene.
func faultless(t *testing.T, scenes []scene) []string {
	t.Helper()
	r := newRig(t)
	var ends []string
	for i, s := range scenes {
		if i > 0 {
			none := ""
			r.watch(t, scenes[i-1].want, s.want, &none)
		}
		r.reach(t, s.want)
		ends = append(ends, contents(r.kernel))
	}
	if len(r.repairs) > 0 {
		t.Fatalf("repairs without drift: %v", r.repairs)
	}
	return ends
}

// TestReadFault sees that a target that can't be read names itself and, where it
// carries packets, keeps the others from turning packets towards it.
func TestReadFault(t *testing.T) {
	carries := map[string]bool{
		"read pages": true, "read rows": true, "read virtuals": true, "read addresses": true, "read links": true,
		"read attachments": false, "read knob conn_reuse_mode": false, "read errands": false,
	}
	for read, carried := range carries {
		t.Run(read, func(t *testing.T) {
			r := newRig(t)
			w := story()[1].want
			r.kernel.Fail = func(call string) error {
				if call == read {
					return errInjected
				}
				return nil
			}
			r.engine.Update(w)
			if err := r.engine.Sync(t.Context()); !errors.Is(err, errInjected) {
				t.Fatalf("sync: %v", err)
			}
			want := len(w.Addresses) + len(w.Rows)
			if carried {
				want = 0
			}
			if n := len(r.kernel.AddrTable) + len(r.kernel.RowTable); n != want {
				t.Errorf("%d rows and addresses were put, want %d", n, want)
			}
			bad := 0
			for _, s := range r.engine.Status() {
				if s.LastError != "" {
					bad++
				}
			}
			if bad != 1 {
				t.Errorf("%d targets report an error: %+v", bad, r.engine.Status())
			}
			r.kernel.Fail = nil
			r.reach(t, w)
		})
	}
}

// TestBrokenPageKeepsForwarding sees that a page that can't be put does not keep
// a dead server in rotation while the service serves.
func TestBrokenPageKeepsForwarding(t *testing.T) {
	r := newRig(t)
	scenes := story()
	r.reach(t, scenes[1].want)
	w := scenes[3].want // b is dead
	w.Pages = map[maps.PageID]maps.Page{7: {ID: 7}}
	for v, row := range w.Rows {
		if row.Page != 0 {
			row.Page = 7
			w.Rows[v] = row
		}
	}
	r.kernel.Fail = func(call string) error {
		if call == "put page 7" {
			return errInjected
		}
		return nil
	}
	r.engine.Update(w)
	err := r.engine.Sync(t.Context())
	if !errors.Is(err, errInjected) {
		t.Fatalf("sync: %v", err)
	}
	if errors.Is(err, maps.ErrPageInUse) {
		t.Errorf("the old page was to be deleted while rows name it: %v", err)
	}
	got := fmt.Sprint(len(r.kernel.IPVS[tcp("192.0.2.10:80")].Destinations))
	if got != "1" {
		t.Errorf("%s destinations, want the living one", got)
	}
}
