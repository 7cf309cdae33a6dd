// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

func TestWatchLinksTellsOfComingAndGoing(t *testing.T) {
	kernel.RequireRoot(t)
	ns := netlab.Make(t, "links")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := make(chan struct{}, 64)
	done := make(chan error, 1)
	go func() {
		done <- ns.Do(func() error { return WatchLinks(ctx, func() { events <- struct{}{} }) })
	}()
	next := func(what string) {
		t.Helper()
		select {
		case <-events:
		case <-time.After(5 * time.Second):
			t.Fatalf("was not told: %s", what)
		}
	}
	next("lo is there")
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "two"}
	if err := ns.Netlink().LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	next("one appears")
	next("two appears")
	if err := ns.Up("one"); err != nil {
		t.Fatal(err)
	}
	next("one goes up")
	if err := ns.Netlink().LinkDel(veth); err != nil {
		t.Fatal(err)
	}
	next("they vanish")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNoteKnowsWhatMatters(t *testing.T) {
	update := func(kind uint16, name string, flags uint32) netlink.LinkUpdate {
		u := netlink.LinkUpdate{Link: &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: name}}}
		u.Header.Type, u.Index, u.Flags = kind, 7, flags
		return u
	}
	seen := map[int32]linkState{}
	for _, step := range []struct {
		name string
		u    netlink.LinkUpdate
		want bool
	}{
		{"appears", update(unix.RTM_NEWLINK, "eth0", 0), true},
		{"a program is attached", update(unix.RTM_NEWLINK, "eth0", 0), false},
		{"goes up", update(unix.RTM_NEWLINK, "eth0", unix.IFF_UP), true},
		{"finds a carrier", update(unix.RTM_NEWLINK, "eth0", unix.IFF_UP|unix.IFF_RUNNING), false},
		{"is renamed", update(unix.RTM_NEWLINK, "wan0", unix.IFF_UP), true},
		{"vanishes", update(unix.RTM_DELLINK, "wan0", 0), true},
		{"vanishes twice", update(unix.RTM_DELLINK, "wan0", 0), false},
		{"returns", update(unix.RTM_NEWLINK, "wan0", unix.IFF_UP), true},
	} {
		if got := note(seen, step.u); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}
