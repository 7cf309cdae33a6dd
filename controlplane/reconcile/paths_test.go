// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// newRoutes is a director with servers on its link, and others behind a router there.
func newRoutes(t *testing.T) *wire {
	t.Helper()
	w := newWire(t)
	for _, a := range []string{"10.0.0.1/24", "fd00::1/64"} {
		if err := w.director.AddAddr("eth0", netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []string{"10.0.0.254/24", "10.0.0.11/24", "fd00::254/64"} {
		if err := w.neighbour.AddAddr("eth0", netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	w.route(t, "10.1.0.0/16", "10.0.0.254")
	w.route(t, "fd01::/64", "fd00::254")
	return w
}

func (w *wire) route(t *testing.T, to, via string) {
	t.Helper()
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{Dst: dst, Gw: net.ParseIP(via)}
	if via == "" {
		route.Type = unix.RTN_UNREACHABLE
	}
	if err := w.director.Netlink().RouteReplace(route); err != nil {
		t.Fatalf("route to %s: %v", to, err)
	}
}

// survey looks from the director.
func (w *wire) survey(t *testing.T, addrs ...string) (map[netip.Addr]reconcile.Path, map[string]reconcile.Link) {
	t.Helper()
	var all []netip.Addr
	for _, a := range addrs {
		all = append(all, netip.MustParseAddr(a))
	}
	var paths map[netip.Addr]reconcile.Path
	var links map[string]reconcile.Link
	err := w.director.Do(func() (err error) {
		paths, links, err = reconcile.Survey(w.table, w.table, all, []string{"eth0", "eth9"}, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths, links
}

// TestSurvey looks up ways in the kernel's own tables.
func TestSurvey(t *testing.T) {
	w := newRoutes(t)
	w.route(t, "10.2.0.0/16", "")
	link, err := w.director.Netlink().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	eth0 := link.Attrs().Index
	paths, links := w.survey(t, "10.0.0.11", "10.1.0.11", "fd00::11", "fd01::11", "10.2.0.11", "192.0.2.1", "10.0.0.1")
	want := map[string]reconcile.Path{
		"10.0.0.11": {Interface: "eth0", Index: eth0, Gateway: netip.MustParseAddr("10.0.0.11"), Source: netip.MustParseAddr("10.0.0.1")},
		"10.1.0.11": {Interface: "eth0", Index: eth0, Gateway: netip.MustParseAddr("10.0.0.254"), Source: netip.MustParseAddr("10.0.0.1")},
		"fd00::11":  {Interface: "eth0", Index: eth0, Gateway: netip.MustParseAddr("fd00::11"), Source: netip.MustParseAddr("fd00::1")},
		"fd01::11":  {Interface: "eth0", Index: eth0, Gateway: netip.MustParseAddr("fd00::254"), Source: netip.MustParseAddr("fd00::1")},
		"10.0.0.1":  {Interface: "lo", Index: 1, Gateway: netip.MustParseAddr("10.0.0.1"), Source: netip.MustParseAddr("10.0.0.1")},
	}
	for addr, path := range want {
		if got := paths[netip.MustParseAddr(addr)]; got != path {
			t.Errorf("the way to %s is %+v, want %+v", addr, got, path)
		}
	}
	if len(paths) != len(want) {
		t.Errorf("%d ways, want %d: %v", len(paths), len(want), paths)
	}
	if l := links["eth0"]; l.Index != eth0 || !l.Ethernet || l.Loopback {
		t.Errorf("eth0 is %+v", l)
	}
	if l := links["lo"]; l.Index != 1 || l.Ethernet || !l.Loopback {
		t.Errorf("lo is %+v", l)
	}
	if len(links) != 2 {
		t.Errorf("links %v, want those of the ways alone", links)
	}
	var known bool
	if err := w.director.Do(func() error { _, known = reconcile.XDPFeatures(eth0); return nil }); err != nil {
		t.Fatal(err)
	}
	if known == (links["eth0"].Transmits == reconcile.Unknown) {
		t.Errorf("the kernel tells of XDP: %t, and the link says %v", known, links["eth0"].Transmits)
	}
}

// TestUse has the kernel resolve a next hop that nothing was sent to.
func TestUse(t *testing.T) {
	w := newRoutes(t)
	paths, _ := w.survey(t, "10.1.0.11", "fd01::11", "10.0.0.99")
	for addr, hop := range map[string]string{"10.1.0.11": "10.0.0.254", "fd01::11": "fd00::254"} {
		if err := w.table.Use(paths[netip.MustParseAddr(addr)]); err != nil {
			t.Fatal(err)
		}
		w.awaitNeighbour(t, hop)
		if err := w.table.Use(paths[netip.MustParseAddr(addr)]); err != nil { // one that is known
			t.Fatal(err)
		}
	}
	if err := w.table.Use(paths[netip.MustParseAddr("10.0.0.99")]); err != nil {
		t.Errorf("a neighbour that does not answer is no error: %v", err)
	}
	gone := paths[netip.MustParseAddr("10.1.0.11")]
	gone.Index = 999
	if err := w.table.Use(gone); err == nil {
		t.Error("an interface that is not there is no error")
	}
}

// awaitNeighbour waits until the kernel knows a MAC address.
func (w *wire) awaitNeighbour(t *testing.T, hop string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list, err := w.director.Netlink().NeighList(0, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(n netlink.Neigh) bool {
			return n.IP.Equal(net.ParseIP(hop)) && len(n.HardwareAddr) == 6 && n.State&(unix.NUD_REACHABLE|unix.NUD_DELAY|unix.NUD_PROBE) != 0
		}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not resolved: %v", hop, list)
		}
	}
}

// TestSurveyKeeps keeps what is known where the kernel does not answer.
func TestSurveyKeeps(t *testing.T) {
	one, two := netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.12")
	known := map[netip.Addr]reconcile.Path{one: {Interface: "old", Index: 2, Gateway: one}, two: {Interface: "eth0", Index: 2, Gateway: two}}
	paths, links, err := reconcile.Survey(brokenRoutes{two: errInjected}, fewLinks{}, []netip.Addr{one, two}, nil, known)
	if !errors.Is(err, errInjected) {
		t.Errorf("error %v", err)
	}
	if _, there := paths[one]; there || paths[two] != known[two] || links["eth0"].Transmits != reconcile.Yes {
		t.Errorf("paths %v, links %v", paths, links)
	}
}

// brokenRoutes has no ways; to some it fails to look.
type brokenRoutes map[netip.Addr]error

func (b brokenRoutes) Path(a netip.Addr) (reconcile.Path, error) {
	if err := b[a]; err != nil {
		return reconcile.Path{}, err
	}
	return reconcile.Path{}, reconcile.ErrNoPath
}
func (brokenRoutes) Use(reconcile.Path) error { return nil }

type fewLinks struct{}

func (fewLinks) Links() (map[string]reconcile.Link, error) {
	return map[string]reconcile.Link{"eth0": {Index: 2, Ethernet: true}}, nil
}
func (fewLinks) Transmits(int) reconcile.Support { return reconcile.Yes }

// TestRouteWatcher is told of a route that comes and goes.
func TestRouteWatcher(t *testing.T) {
	w := newRoutes(t)
	told := make(chan struct{}, 1000)
	watcher := reconcile.NewRouteWatcher(func() { told <- struct{}{} }, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.director.Do(func() error { return watcher.Run(ctx) }) }()
	deadline := time.After(10 * time.Second)
	for told1 := false; !told1; { // it takes a moment until it watches
		w.route(t, "10.3.0.0/16", "10.0.0.254")
		w.route(t, "10.3.0.0/16", "10.0.0.11")
		select {
		case <-told:
			told1 = true
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("not told of a route")
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("does not end")
	}
}
