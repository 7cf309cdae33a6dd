// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// TestAnnouncement hears what a neighbour hears of an address, byte
// for byte.
func TestAnnouncement(t *testing.T) {
	tests := []struct {
		name    string
		address reconcile.Address
		proto   int
		router  bool
		want    string
	}{
		{"gratuitous ARP", v4, unix.ETH_P_ARP, false,
			"ffffffffffff 020000000001 0806" +
				"0001 0800 06 04 0001 020000000001 c000020a 000000000000 c000020a"},
		{"unsolicited neighbour advertisement", v6, unix.ETH_P_IPV6, false,
			"333300000001 020000000001 86dd 60000000 0020 3a ff" +
				"20010db8000000000000000000000010 ff020000000000000000000000000001" +
				"88 00 f90c 20000000 20010db8000000000000000000000010 02 01 020000000001"},
		{"of a router", v6, unix.ETH_P_IPV6, true,
			"333300000001 020000000001 86dd 60000000 0020 3a ff" +
				"20010db8000000000000000000000010 ff020000000000000000000000000001" +
				"88 00 790c a0000000 20010db8000000000000000000000010 02 01 020000000001"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(t)
			if test.router {
				if err := w.director.Forward(); err != nil {
					t.Fatal(err)
				}
			}
			want, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(test.want), []byte(" "), nil)))
			if err != nil {
				t.Fatal(err)
			}
			ears := w.listen(t, test.proto)
			if err := w.director.Do(func() error { return w.table.Announce(test.address) }); err != nil {
				t.Fatal(err)
			}
			hear(t, ears, want)
		})
	}
}

func (w *wire) listen(t *testing.T, proto int) *packet.Conn {
	t.Helper()
	link, err := w.neighbour.Netlink().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	var ears *packet.Conn
	err = w.neighbour.Do(func() (err error) {
		ears, err = packet.Listen(&net.Interface{Index: link.Attrs().Index, Name: "eth0"}, packet.Raw, proto, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ears.Close() })
	return ears
}

// hear waits for one frame among others that the kernel sends.
func hear(t *testing.T, ears *packet.Conn, want []byte) {
	t.Helper()
	if err := ears.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2000)
	var others []string
	for {
		n, _, err := ears.ReadFrom(buffer)
		if err != nil {
			t.Fatalf("%v, heard %q, want %x", err, others, want)
		}
		if bytes.Equal(buffer[:n], want) {
			return
		}
		others = append(others, hex.EncodeToString(buffer[:n]))
	}
}

// told syncs, which must end so, and returns what the neighbours heard by it.
func (r *rig) told(t *testing.T, fails bool) []reconcile.Address {
	t.Helper()
	before := len(r.kernel.Announced)
	if err := r.engine.Sync(t.Context()); (err != nil) != fails {
		t.Fatalf("sync: %v", err)
	}
	return r.kernel.Announced[before:]
}

// TestAnnouncementIsMadeUp makes good for announcements that failed or that
// nobody could hear, and repeats those that neighbours may have forgotten.
func TestAnnouncementIsMadeUp(t *testing.T) {
	r := newRig(t)
	expect := func(step string, fails bool, want ...reconcile.Address) {
		t.Helper()
		if got := r.told(t, fails); !slices.Equal(got, want) {
			t.Errorf("%s: announced %v, want %v", step, got, want)
		}
	}
	foreign := reconcile.Address{Interface: "eth0", Addr: v6.Addr}
	r.kernel.AddrTable[foreign] = true
	r.engine.Update(reconcile.Want{Addresses: map[reconcile.Address]bool{v4: true, foreign: true}})

	r.kernel.Fail = func(call string) error {
		if call == "announce "+v4.String() {
			return errInjected
		}
		return nil
	}
	expect("a failure", true)
	r.kernel.Fail = nil
	expect("after it", false, v4)
	expect("once is enough", false)

	r.kernel.Silent["eth0"] = true
	expect("no carrier", false)
	r.kernel.Silent["eth0"] = false
	expect("carrier back", false, v4)

	delete(r.kernel.AddrTable, v4)
	r.kernel.Silent["eth0"] = true
	expect("drift repaired without a carrier", false)
	r.kernel.Silent["eth0"] = false
	expect("and then with one", false, v4)

	r.engine.Update(reconcile.Want{Addresses: map[reconcile.Address]bool{v4: true}})
	r.kernel.RemoveLink("eth0")
	expect("link gone", true)
	r.kernel.AddLink("eth0", 3)
	expect("another link", false, v4)

	r.start(t)
	r.engine.Update(reconcile.Want{Addresses: map[reconcile.Address]bool{v4: true}})
	expect("a restart can't know whether the one before came so far", false, v4)
	for _, repair := range r.repairs {
		if repair != "addresses: add address 192.0.2.10 on eth0" {
			t.Errorf("repair %q", repair)
		}
	}
}

// TestAnnouncementAfterCarrier hears on a real link what was due before there
// was a carrier.
func TestAnnouncementAfterCarrier(t *testing.T) {
	r := newAddressRig(t)
	if err := r.neighbour.Down("eth0"); err != nil {
		t.Fatal(err)
	}
	r.awaitCarrier(t, false)
	r.engine.Update(reconcile.Want{Addresses: map[reconcile.Address]bool{v4: true}})
	if err := r.sync(t); err != nil {
		t.Fatal(err)
	}
	if err := r.neighbour.Up("eth0"); err != nil {
		t.Fatal(err)
	}
	ears := r.listen(t, unix.ETH_P_ARP)
	r.awaitCarrier(t, true)
	// A link takes a moment from its carrier to its first packet: until then the
	// kernel says ENOBUFS, and the engine tries again.
	deadline := time.Now().Add(10 * time.Second)
	for err := r.sync(t); err != nil; err = r.sync(t) {
		if !errors.Is(err, unix.ENOBUFS) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	want, _ := hex.DecodeString("ffffffffffff" + "020000000001" + "0806" +
		"0001080006040001" + "020000000001" + "c000020a" + "000000000000" + "c000020a")
	hear(t, ears, want)
}

func (w *wire) awaitCarrier(t *testing.T, want bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		links, err := w.table.Running()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("links %v, %v, want a carrier on eth0: %v", links, err, want)
		}
		if _, running := links["eth0"]; running == want {
			return
		}
	}
}
