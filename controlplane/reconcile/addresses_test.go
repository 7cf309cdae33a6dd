// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// wire is a director and a neighbour on one link, whose MAC addresses are fixed.
type wire struct {
	director, neighbour *netlab.Namespace
	table               *reconcile.Interfaces
}

func newWire(t *testing.T) *wire {
	t.Helper()
	kernel.RequireRoot(t)
	w := &wire{director: netlab.Make(t, "director"), neighbour: netlab.Make(t, "neighbour")}
	w.plug(t)
	err := w.director.Do(func() (err error) {
		w.table, err = reconcile.OpenInterfaces()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.table.Close() })
	return w
}

func (w *wire) plug(t *testing.T) {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	err := netlab.Veth(netlab.End{In: w.director, Name: "eth0", MAC: mac}, netlab.End{In: w.neighbour, Name: "eth0"}, 0)
	if err != nil {
		t.Fatal(err)
	}
}

var (
	v4 = reconcile.Address{Interface: "eth0", Addr: netip.MustParseAddr("192.0.2.10")}
	v6 = reconcile.Address{Interface: "eth0", Addr: netip.MustParseAddr("2001:db8::10")}
)

// TestAddressTable adds and removes addresses on a real interface.
func TestAddressTable(t *testing.T) {
	w := newWire(t)
	for _, a := range []reconcile.Address{v4, v6} {
		for range 2 { // there already is success
			if err := w.director.Do(func() error { return w.table.AddAddress(a) }); err != nil {
				t.Fatalf("add %s: %v", a, err)
			}
		}
		if !w.has(t, a) {
			t.Errorf("%s is not there", a)
		}
		w.checkFlags(t, a.Addr)
		for range 2 { // and so is gone
			if err := w.table.RemoveAddress(a); err != nil {
				t.Fatalf("remove %s: %v", a, err)
			}
		}
		if w.has(t, a) {
			t.Errorf("%s is still there", a)
		}
	}
	nowhere := reconcile.Address{Interface: "eth9", Addr: v4.Addr}
	if err := w.table.AddAddress(nowhere); !errors.As(err, new(netlink.LinkNotFoundError)) {
		t.Errorf("add on a missing interface: %v", err)
	}
	if err := w.table.RemoveAddress(nowhere); err != nil {
		t.Errorf("remove from a missing interface: %v", err)
	}
}

func (w *wire) has(t *testing.T, a reconcile.Address) bool {
	t.Helper()
	list, err := w.table.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if b == a {
			return true
		}
	}
	return false
}

// checkFlags sees that an address is a host's, usable at once, and brought no
// route but its own local one.
func (w *wire) checkFlags(t *testing.T, a netip.Addr) {
	t.Helper()
	list, err := w.director.Netlink().AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if !b.IP.Equal(a.AsSlice()) {
			continue
		}
		ones, bits := b.Mask.Size()
		if ones != bits || b.Flags&unix.IFA_F_TENTATIVE != 0 || b.Flags&unix.IFA_F_NOPREFIXROUTE == 0 {
			t.Errorf("%s has prefix length %d and flags %#x", a, ones, b.Flags)
		}
	}
	routes, err := w.director.Netlink().RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.IP.Equal(a.AsSlice()) {
			t.Errorf("%s brought the route %v", a, r)
		}
	}
}

// addressRig is an engine on the addresses of a real interface.
type addressRig struct {
	*rig
	*wire
}

func newAddressRig(t *testing.T) *addressRig {
	t.Helper()
	r := &addressRig{&rig{ledger: filepath.Join(t.TempDir(), "owned.json")}, newWire(t)}
	r.start(t)
	return r
}

func (r *addressRig) start(t *testing.T) {
	t.Helper()
	ledger, err := reconcile.OpenLedger(r.ledger)
	if err != nil {
		t.Fatal(err)
	}
	r.engine = reconcile.New(reconcile.Options{
		Targets: []reconcile.Target{reconcile.NewAddresses(r.table, ledger)}, Logger: r.logger(),
		OnRepair: func(d reconcile.Drift) { r.repairs = append(r.repairs, d.What) },
	})
}

func (r *addressRig) sync(t *testing.T) error {
	return r.director.Do(func() error { return r.engine.Sync(t.Context()) })
}

// expect syncs and looks whether our addresses are there.
func (r *addressRig) expect(t *testing.T, step string, there bool) {
	t.Helper()
	if err := r.sync(t); err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	for _, a := range []reconcile.Address{v4, v6} {
		if r.has(t, a) != there {
			t.Errorf("%s: %s is there: %v", step, a, !there)
		}
	}
}

// TestAddressTarget walks the engine through adding, drift, an interface that
// vanishes and returns, and removal.
func TestAddressTarget(t *testing.T) {
	r := newAddressRig(t)
	want := reconcile.Want{Addresses: map[reconcile.Address]bool{v4: true, v6: true}}
	r.engine.Update(want)
	r.expect(t, "added", true)
	if err := r.table.RemoveAddress(v4); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "repaired", true)
	if len(r.repairs) != 1 || r.repairs[0] != "add address 192.0.2.10 on eth0" {
		t.Errorf("repairs %q", r.repairs)
	}
	if err := r.director.Delete("eth0"); err != nil {
		t.Fatal(err)
	}
	if err := r.sync(t); err == nil {
		t.Error("no error without an interface")
	}
	r.plug(t)
	r.expect(t, "interface back", true)
	r.engine.Update(reconcile.Want{})
	r.expect(t, "removed", false)
	if text, err := os.ReadFile(r.ledger); err != nil || bytes.Contains(text, []byte("192.0.2")) {
		t.Errorf("the ledger has %s, %v", text, err)
	}
}

// TestAddressOwnership removes after a restart what is ours, and leaves what was
// there before us, wanted or not.
func TestAddressOwnership(t *testing.T) {
	r := newAddressRig(t)
	wanted := reconcile.Address{Interface: "eth0", Addr: netip.MustParseAddr("192.0.2.11")}
	foreign := reconcile.Address{Interface: "eth0", Addr: netip.MustParseAddr("192.0.2.99")}
	for _, a := range []reconcile.Address{wanted, foreign} {
		if err := r.director.AddAddr("eth0", netip.PrefixFrom(a.Addr, 24)); err != nil {
			t.Fatal(err)
		}
	}
	r.engine.Update(reconcile.Want{Addresses: map[reconcile.Address]bool{v4: true, v6: true, wanted: true}})
	r.expect(t, "added", true)
	r.start(t)
	r.engine.Update(reconcile.Want{})
	r.expect(t, "removed after a restart", false)
	if !r.has(t, wanted) || !r.has(t, foreign) {
		t.Error("an address that was there before is gone")
	}
}

// TestAddressThatWasNotAdded is not ours, whoever puts it there later.
func TestAddressThatWasNotAdded(t *testing.T) {
	r := newRig(t)
	r.kernel.RemoveLink("eth0")
	r.engine.Update(reconcile.Want{Addresses: map[reconcile.Address]bool{v4: true}})
	if err := r.engine.Sync(t.Context()); err == nil {
		t.Fatal("no error without an interface")
	}
	r.kernel.AddLink("eth0", 3)
	r.kernel.AddrTable[v4] = true // by somebody else
	if err := r.engine.Withdraw(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.kernel.AddrTable[v4] {
		t.Error("an address of somebody else was removed")
	}
}
