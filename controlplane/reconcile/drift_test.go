// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/maps"
)

// drift is what somebody else does to the kernel, and the repairs that follow.
type drift struct {
	name   string
	tamper func(k *fake.Kernel)
	want   []string // nil: too many to list
}

func drifts() []drift {
	shop, first := tcp("192.0.2.10:80"), netip.MustParseAddrPort(a)
	eth0 := reconcile.Address{Interface: "eth0", Addr: shop.Addr.Addr()}
	row := maps.Key{Addr: shop.Addr, Proto: 6}
	return []drift{
		{"all services flushed", func(k *fake.Kernel) { clear(k.IPVS) }, nil},
		{"service deleted", func(k *fake.Kernel) { delete(k.IPVS, shop) }, []string{
			"ipvs: put service 192.0.2.10:80/tcp, scheduler wlc",
			"ipvs: put destination 10.0.0.11:8080 of 192.0.2.10:80/tcp, nat, weight 100",
			"ipvs: put destination 10.0.0.12:8080 of 192.0.2.10:80/tcp, nat, weight 50",
		}},
		{"scheduler changed", func(k *fake.Kernel) { f := k.IPVS[shop]; f.Scheduler = "rr"; k.IPVS[shop] = f },
			[]string{"ipvs: put service 192.0.2.10:80/tcp, scheduler wlc"}},
		{"made persistent", func(k *fake.Kernel) { f := k.IPVS[shop]; f.Altered = true; k.IPVS[shop] = f },
			[]string{"ipvs: put service 192.0.2.10:80/tcp, scheduler wlc"}},
		{"weight changed", func(k *fake.Kernel) { setWeight(k, shop, first, 3) },
			[]string{"ipvs: put destination 10.0.0.11:8080 of 192.0.2.10:80/tcp, nat, weight 100"}},
		{"destination removed", func(k *fake.Kernel) { delete(k.IPVS[shop].Destinations, first) },
			[]string{"ipvs: put destination 10.0.0.11:8080 of 192.0.2.10:80/tcp, nat, weight 100"}},
		{"destination added", func(k *fake.Kernel) { setWeight(k, shop, netip.MustParseAddrPort("10.0.0.99:80"), 9) },
			[]string{"ipvs: put destination 10.0.0.99:80 of 192.0.2.10:80/tcp, nat, weight 0"}},
		{"address removed", func(k *fake.Kernel) { delete(k.AddrTable, eth0) },
			[]string{"addresses: add address 192.0.2.10 on eth0"}},
		{"row changed", func(k *fake.Kernel) { k.RowTable[row] = maps.Service{Mode: maps.ModeSorry} },
			[]string{"maps: put row 192.0.2.10:80/tcp: serve with page 0000000000000001, orphans pass"}},
		{"row deleted", func(k *fake.Kernel) { delete(k.RowTable, row) },
			[]string{"maps: put row 192.0.2.10:80/tcp: serve with page 0000000000000001, orphans pass"}},
		{"row added", func(k *fake.Kernel) {
			k.RowTable[maps.Key{Addr: netip.MustParseAddrPort("192.0.2.99:80"), Proto: 6}] = maps.Service{}
		}, []string{"maps: delete row 192.0.2.99:80/tcp"}},
		{"engine detached", func(k *fake.Kernel) { k.Engines["eth0"] = maps.Attachment{Interface: "eth0", Index: 2} },
			[]string{"attachments: attach to eth0, mode auto"}},
		{"knob turned", func(k *fake.Kernel) { k.KnobTable["expire_nodest_conn"] = "0" },
			[]string{"settings: set expire_nodest_conn to 1"}},
		{"somebody else's service added", func(k *fake.Kernel) { addForeign(k) }, []string{}},
	}
}

// TestDrift lets somebody else change the kernel: a pass puts it right and says so.
func TestDrift(t *testing.T) {
	for _, test := range drifts() {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.reach(t, story()[1].want)
			before := contents(r.kernel)
			test.tamper(r.kernel)
			tampered := contents(r.kernel)
			if err := r.engine.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if test.want != nil && len(test.want) == 0 {
				before = tampered
			}
			if got := contents(r.kernel); got != before {
				t.Errorf("the kernel ends with\n%s\ninstead of\n%s", got, before)
			}
			if test.want != nil && !slices.Equal(r.repairs, test.want) {
				t.Errorf("repairs %q, want %q", r.repairs, test.want)
			}
			if test.want == nil && len(r.repairs) < 10 {
				t.Errorf("only %q were reported", r.repairs)
			}
			if n := strings.Count(r.log.String(), `msg="drift repaired"`); n != len(r.repairs) {
				t.Errorf("%d repairs were logged, %d reported:\n%s", n, len(r.repairs), r.log.String())
			}
			repairs := uint64(0)
			for _, s := range r.engine.Status() {
				repairs += s.Repairs
			}
			if repairs != uint64(len(r.repairs)) {
				t.Errorf("the status counts %d repairs, want %d", repairs, len(r.repairs))
			}
		})
	}
}

func setWeight(k *fake.Kernel, v config.Virtual, server netip.AddrPort, weight int) {
	k.IPVS[v].Destinations[server] = reconcile.Destination{Method: config.NAT, Weight: weight}
}

func addForeign(k *fake.Kernel) {
	v := tcp("203.0.113.1:80")
	k.IPVS[v] = reconcile.Forward{Scheduler: "rr", Destinations: map[netip.AddrPort]reconcile.Destination{}}
	setWeight(k, v, netip.MustParseAddrPort("10.9.9.9:80"), 1)
	k.AddrTable[reconcile.Address{Interface: "eth0", Addr: v.Addr.Addr()}] = true
}

// TestDriftDuringChange tells drift from what a new Want asks for in one pass.
func TestDriftDuringChange(t *testing.T) {
	r := newRig(t)
	scenes := story()
	r.reach(t, scenes[1].want)
	setWeight(r.kernel, tcp("192.0.2.10:80"), netip.MustParseAddrPort(a), 3)
	r.reach(t, scenes[2].want) // b drains: four services change
	want := []string{"ipvs: put destination 10.0.0.11:8080 of 192.0.2.10:80/tcp, nat, weight 100"}
	if !slices.Equal(r.repairs, want) {
		t.Errorf("repairs %q, want %q", r.repairs, want)
	}
}

// TestForeignStays walks through a whole life beside what is somebody else's.
func TestForeignStays(t *testing.T) {
	r := newRig(t)
	addForeign(r.kernel)
	// An address that a service has, but that was there before maitred.
	before := reconcile.Address{Interface: "lo", Addr: netip.MustParseAddr("192.0.2.11")}
	r.kernel.AddrTable[before] = true
	foreign := contents(r.kernel)
	for _, s := range story() {
		r.reach(t, s.want)
		if r.kernel.AddrTable[reconcile.Address{Interface: "eth0", Addr: before.Addr}] {
			t.Errorf("%s: %s was added though it was there", s.name, before.Addr)
		}
	}
	if err := r.engine.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := contents(r.kernel); got != foreign {
		t.Errorf("after all the kernel holds\n%s\ninstead of\n%s", got, foreign)
	}
}

// TestWithdraw takes everything back from any scene, knobs included.
func TestWithdraw(t *testing.T) {
	empty := contents(fake.New())
	for _, s := range story() {
		t.Run(s.name, func(t *testing.T) {
			r := newRig(t)
			r.reach(t, s.want)
			r.kernel.Changed = func(call string) {
				if d := dangling(r.kernel, s.want, reconcile.Want{}); d != "" {
					t.Errorf("after %s: %s", call, d)
				}
			}
			if err := r.engine.Withdraw(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := contents(r.kernel); got != empty {
				t.Errorf("the kernel still holds\n%s", got)
			}
			if text, err := os.ReadFile(r.ledger); err == nil && strings.Contains(string(text), "192.0.2") {
				t.Errorf("the ledger still has %s", text)
			}
		})
	}
}

// TestInterfaceReturns sees what an interface loses put back when it returns.
func TestInterfaceReturns(t *testing.T) {
	r := newRig(t)
	w := story()[1].want
	r.reach(t, w)
	r.kernel.RemoveLink("eth0")
	err := r.engine.Sync(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no interface eth0") {
		t.Fatalf("without eth0: %v", err)
	}
	_ = r.engine.Sync(t.Context())
	if n := strings.Count(r.log.String(), "cannot change the kernel"); n != 2 { // attachments and addresses
		t.Errorf("a lasting failure was logged %d times:\n%s", n, r.log.String())
	}
	r.kernel.AddLink("eth0", 9)
	if err := r.engine.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := r.kernel.Engines["eth0"]; !e.TC || e.Index != 9 {
		t.Errorf("attachment %+v", e)
	}
	if n := len(r.kernel.AddrTable); n != 5 {
		t.Errorf("%d addresses, want 5", n)
	}
}
