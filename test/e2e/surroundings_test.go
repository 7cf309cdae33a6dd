// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// TestNarrowWay has a link of 1400 bytes halfway to the client, who knows nothing
// of it.
func TestNarrowWay(t *testing.T) {
	e := newEngine(t, maps.AttachTC, 20000)
	near, far := netlab.Make(t, "near"), netlab.Make(t, "far")
	prefix := netip.MustParsePrefix
	connect := func(a, b *netlab.Namespace, nameA, nameB string, mtu int, addrsA, addrsB []netip.Prefix) {
		t.Helper()
		err := netlab.Veth(netlab.End{In: a, Name: nameA, Addrs: addrsA}, netlab.End{In: b, Name: nameB, Addrs: addrsB}, mtu)
		if err != nil {
			t.Fatal(err)
		}
	}
	client := netlab.Make(t, "distant")
	connect(client, far, "eth0", "in", 1500,
		[]netip.Prefix{prefix("203.0.113.2/30"), prefix("2001:db8:f::2/64")}, []netip.Prefix{prefix("203.0.113.1/30"), prefix("2001:db8:f::1/64")})
	connect(far, near, "out", "in", 1400,
		[]netip.Prefix{prefix("203.0.113.6/30"), prefix("2001:db8:e::2/64")}, []netip.Prefix{prefix("203.0.113.5/30"), prefix("2001:db8:e::1/64")})
	connect(near, e.Director.Namespace, "out", "near", 1500,
		[]netip.Prefix{prefix("203.0.113.10/30"), prefix("2001:db8:d::2/64")}, []netip.Prefix{prefix("203.0.113.9/30"), prefix("2001:db8:d::1/64")})
	addr := netip.MustParseAddr
	routes := errors.Join(
		near.Forward(), far.Forward(),
		client.AddDefaultRoute(addr("203.0.113.1")), client.AddDefaultRoute(addr("2001:db8:f::1")),
		far.AddDefaultRoute(addr("203.0.113.5")), far.AddDefaultRoute(addr("2001:db8:e::1")),
		near.AddDefaultRoute(addr("203.0.113.9")), near.AddDefaultRoute(addr("2001:db8:d::1")),
		near.AddRoute(prefix("203.0.113.0/30"), addr("203.0.113.6")), near.AddRoute(prefix("2001:db8:f::/64"), addr("2001:db8:e::2")),
	)
	if routes != nil {
		t.Fatal(routes)
	}
	err := e.Director.Do(func() error { _, err := e.maps.Attach("near", maps.AttachTC); return err })
	if err != nil {
		t.Fatal(err)
	}
	lab := *e.Lab
	lab.Client.Namespace = client
	e = &engine{Lab: &lab, maps: e.maps, body: e.body}
	for _, vip := range []netip.Addr{e.VIP4, e.VIP6} {
		e.fetch(t, clientNamed(t, "go"), vip)
	}
}

func clientNamed(t *testing.T, name string) client {
	t.Helper()
	for _, c := range clients {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no client %s", name)
	return client{}
}

// TestBehindOthers has another program of tc end the way of every packet: ours
// must come before it.
func TestBehindOthers(t *testing.T) {
	kernel.AtLeast(t, 6, 6, "tcx")
	e := newEngine(t, maps.AttachTC, 2000)
	if err := e.Director.Do(func() error { return e.maps.Detach("eth0") }); err != nil {
		t.Fatal(err)
	}
	const accept = 0 // TC_ACT_OK
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, accept), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = e.Director.Do(func() error {
		dev, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: dev.Attrs().Index, Program: other, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		_, err = e.maps.Attach("eth0", maps.AttachTC)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	e.fetch(t, clientNamed(t, "go"), e.VIP4)
}

// TestVLAN has the client behind a tag. XDP may see the packet without it, and
// its answer would be lost: there tc alone may answer.
func TestVLAN(t *testing.T) {
	e := newEngine(t, maps.AttachXDP, 2000)
	err := e.Director.VLAN("eth0", 7)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("kernel has no VLAN devices: %v", err)
	}
	prefix := netip.MustParsePrefix
	err = errors.Join(err, e.Client.VLAN("eth0", 7),
		e.Director.AddAddr("eth0.7", prefix("203.0.113.1/24")), e.Client.AddAddr("eth0.7", prefix("203.0.113.2/24")),
		e.Client.AddRoute(netip.PrefixFrom(e.VIP4, 32), netip.MustParseAddr("203.0.113.1")))
	if err != nil {
		t.Fatal(err)
	}
	err = e.Director.Do(func() error {
		all, err := e.maps.Attached()
		if err == nil && all[0].TC {
			t.Errorf("XDP on a device with tags is taken for right: %+v", all)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = e.Director.Do(func() error { _, err := e.maps.Attach("eth0", maps.AttachXDP); return err })
	if err == nil || !strings.Contains(err.Error(), "VLAN") {
		t.Errorf("attach XDP to a device with tags: %v", err)
	}
	err = e.Director.Do(func() error {
		a, err := e.maps.Attach("eth0", maps.AttachAuto)
		if err == nil && (a.XDP || !a.TC) {
			t.Errorf("attached %+v", a)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), perRequest)
	defer cancel()
	if err := pipelined(ctx, e, e.VIP4); err != nil {
		t.Error(err)
	}
}

// TestNoEthernet refuses an interface whose packets the programs cannot read.
func TestNoEthernet(t *testing.T) {
	e := newEngine(t, maps.AttachTC, 2000)
	err := e.Director.Do(func() error {
		tun := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}, Mode: netlink.TUNTAP_MODE_TUN}
		if err := netlink.LinkAdd(tun); err != nil {
			return err
		}
		_, err := e.maps.Attach("tun0", maps.AttachAuto)
		if err == nil || !strings.Contains(err.Error(), "Ethernet") {
			t.Errorf("attach to a tun device: %v", err)
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		t.Skipf("kernel has no tun devices: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPassedPacketsAreCountedOnce has both programs on the interface.
func TestPassedPacketsAreCountedOnce(t *testing.T) {
	e := newEngine(t, maps.AttachXDP, 2000)
	e.say(t, maps.ModeServe, maps.OrphansReset)
	const attempts = 10
	for range attempts {
		if c, err := e.Client.DialContext(t.Context(), "tcp", netip.AddrPortFrom(e.VIP4, 80).String()); err == nil {
			_ = c.Close()
			t.Fatal("somebody answers at the service's address")
		}
	}
	all, err := e.maps.Counters()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for v, c := range all[maps.Key{Addr: netip.AddrPortFrom(e.VIP4, 80), Proto: 6}] {
		got[v.String()] = c.Packets
	}
	if len(got) != 1 || got["pass_served"] != attempts {
		t.Errorf("%d SYNs were counted as %v", attempts, got)
	}
}
