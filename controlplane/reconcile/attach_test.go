// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/kernel"
)

// TestAttachMode compares what is attached with what each mode asks for.
func TestAttachMode(t *testing.T) {
	both := maps.Attachment{Interface: "eth0", Index: 2, TC: true, XDP: true}
	onlyTC := maps.Attachment{Interface: "eth0", Index: 2, TC: true}
	tests := []struct {
		name  string
		has   maps.Attachment
		mode  config.Attach
		calls int
	}{
		{"tc as wanted", onlyTC, config.AttachTC, 0},
		{"XDP too much", both, config.AttachTC, 1},
		{"both as wanted", both, config.AttachXDP, 0},
		{"auto asks the driver once", onlyTC, config.AttachAuto, 1},
		{"detached", maps.Attachment{Interface: "eth0", Index: 2}, config.AttachTC, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := fake.New()
			k.Engines["eth0"] = test.has
			e := reconcile.New(reconcile.Options{Targets: []reconcile.Target{reconcile.NewAttachments(k)}, Logger: quiet()})
			calls := 0
			k.Changed = func(string) { calls++ }
			e.Update(reconcile.Want{Attachments: map[string]config.Attach{"eth0": test.mode}})
			for range 3 {
				if err := e.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if calls != test.calls {
				t.Errorf("%d calls, want %d", calls, test.calls)
			}
		})
	}
}

// sorryRig is an engine on the real maps and a real interface.
type sorryRig struct {
	*rig
	*wire
	maps *maps.Maps
}

func newSorryRig(t *testing.T) *sorryRig {
	t.Helper()
	kernel.RequireBPF(t)
	r := &sorryRig{rig: &rig{}, wire: newWire(t)}
	err := r.director.Do(func() (err error) {
		r.maps, err = maps.Open(filepath.Join("/sys/fs/bpf", r.director.Name()), maps.Options{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := r.director.Do(r.maps.Withdraw)
		if err := errors.Join(err, r.maps.Close()); err != nil {
			t.Error(err)
		}
	})
	r.engine = reconcile.New(reconcile.Options{
		Targets: []reconcile.Target{reconcile.NewSorry(r.maps, r.maps), reconcile.NewAttachments(r.maps)}, Logger: r.logger(),
		OnRepair: func(d reconcile.Drift) { r.repairs = append(r.repairs, d.What) },
	})
	return r
}

func (r *sorryRig) sync(t *testing.T) error {
	return r.director.Do(func() error { return r.engine.Sync(t.Context()) })
}

// expect syncs and compares what is then in the maps and on the interface. The
// kernel lets go of a link some time after its last descriptor and pin, and
// refuses another one until then: so it syncs again, as the engine would.
func (r *sorryRig) expect(t *testing.T, step string, attached bool, rows int) {
	t.Helper()
	err := r.sync(t)
	for tries := 0; err != nil && tries < 50; tries++ {
		time.Sleep(20 * time.Millisecond)
		err = r.sync(t)
	}
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	err = r.director.Do(func() error {
		list, err := r.maps.Attached()
		if got := len(list) == 1 && list[0].TC; got != attached {
			t.Errorf("%s: attached %+v", step, list)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.maps.Services()
	if err != nil || len(got) != rows {
		t.Errorf("%s: %d rows, want %d, %v", step, len(got), rows, err)
	}
}

// TestAttachKernel attaches the real engine to a real interface, which vanishes
// and returns, and lets somebody else detach it.
func TestAttachKernel(t *testing.T) {
	r := newSorryRig(t)
	want := derive(func(*config.Config) {}, true, result(a, up), result(b, hard))
	rows := len(want.Rows)
	r.engine.Update(want)
	r.expect(t, "attached", true, rows)
	r.expect(t, "still attached", true, rows)
	if err := r.director.Do(func() error { return r.maps.Detach("eth0") }); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "attached again", true, rows)
	if len(r.repairs) != 1 || !strings.HasPrefix(r.repairs[0], "attach to eth0") {
		t.Errorf("repairs %q", r.repairs)
	}
	if err := r.director.Delete("eth0"); err != nil {
		t.Fatal(err)
	}
	if err := r.sync(t); err == nil || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("without the interface: %v", err)
	}
	r.plug(t)
	r.expect(t, "attached to the returned interface", true, rows)
	r.engine.Update(reconcile.Want{})
	r.expect(t, "withdrawn", false, 0)
}

// TestSorryStory lives through the story on the real maps, which refuse what
// would dangle.
func TestSorryStory(t *testing.T) {
	r := newSorryRig(t)
	for _, s := range story() {
		r.engine.Update(s.want)
		r.expect(t, s.name, true, len(s.want.Rows))
		pages, err := r.maps.Pages()
		if err != nil || len(pages) != len(s.want.Pages) {
			t.Errorf("%s: %d pages, want %d, %v", s.name, len(pages), len(s.want.Pages), err)
		}
		rows, err := r.maps.Services()
		if err != nil {
			t.Fatal(err)
		}
		for v, row := range s.want.Rows {
			if got := rows[maps.Key{Addr: v.Addr, Proto: number(v.Proto)}]; got != row {
				t.Errorf("%s: row %s is %+v, want %+v", s.name, v.Addr, got, row)
			}
		}
	}
}
