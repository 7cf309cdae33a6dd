// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// cluster is a client, and a router that sends the client's packets to two
// directors by turns:
//
//	client eth0 --- client router one --- eth0 director 1
//	                              two --- eth0 director 2
type cluster struct {
	client    client
	router    *netlab.Namespace
	directors [2]*netlab.Namespace
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	kernel.RequireBPF(t)
	kernel.AtLeast(t, 6, 6, "tcx")
	c := &cluster{client: newClient(t, netlab.Make(t, "client")), router: netlab.Make(t, "router")}
	c.connect(t, c.client.Namespace, "client", 1)
	if err := errors.Join(c.router.Forward(), c.client.TxChecksum("eth0", false)); err != nil {
		t.Fatal(err)
	}
	for i, dev := range []string{"one", "two"} {
		c.directors[i] = netlab.Make(t, "director")
		c.connect(t, c.directors[i], dev, 2+i)
		if err := c.router.PassXDP(dev); err != nil { // so that what XDP sends arrives
			t.Fatal(err)
		}
		for _, vip := range addresses() {
			if err := c.route(vip, dev, 2+i); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.takeTurns(t)
	return c
}

// connect links a host's eth0 to a device of the router, in a network of a number.
func (c *cluster) connect(t *testing.T, host *netlab.Namespace, dev string, number int) {
	t.Helper()
	at := func(end int) []netip.Prefix {
		return []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("192.0.%d.%d/24", number, end)),
			netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::%d/64", number, end)),
		}
	}
	err := netlab.Veth(netlab.End{In: c.router, Name: dev, Addrs: at(1)}, netlab.End{In: host, Name: "eth0", Addrs: at(2)}, 0)
	for _, router := range at(1) {
		err = errors.Join(err, host.AddDefaultRoute(router.Addr()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// route tells the router that a service's address is on the link of a device.
func (c *cluster) route(vip netip.Addr, dev string, metric int) error {
	cmd := c.router.Command(context.Background(), "ip", "route", "add", vip.String(), "dev", dev, "metric", fmt.Sprint(metric))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("route %v to %s: %w: %s", vip, dev, err, out)
	}
	return nil
}

// takeTurns has one packet of TCP from the client go to the one director and the
// next to the other.
func (c *cluster) takeTurns(t *testing.T) {
	t.Helper()
	count, err := ebpf.NewMap(&ebpf.MapSpec{Name: "turns", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer count.Close()
	var index [3]int
	for i, dev := range []string{"client", "one", "two"} {
		device, err := c.router.Netlink().LinkByName(dev)
		if err != nil {
			t.Fatal(err)
		}
		index[i] = device.Attrs().Index
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "turns", Type: ebpf.SchedCLS, License: "GPL", Instructions: turns(count.FD(), index[1], index[2]),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	err = c.router.Do(func() error {
		l, err := link.AttachTCX(link.TCXOptions{Interface: index[0], Program: program, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// turns counts packets of TCP and sends them out of one device and the other, to
// the neighbour there that has the address.
func turns(count, one, two int) asm.Instructions {
	const (
		ethertype, protocol4, protocol6 = 12, 14 + 9, 14 + 6
		ipv4, ipv6, tcp                 = 0x0800, 0x86dd, 6
		unspec                          = -1 // TC_ACT_UNSPEC
	)
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadAbs(ethertype, asm.Half),
		asm.JEq.Imm(asm.R0, ipv4, "ipv4"),
		asm.JNE.Imm(asm.R0, ipv6, "pass"),
		asm.LoadAbs(protocol6, asm.Byte),
		asm.Ja.Label("protocol"),
		asm.LoadAbs(protocol4, asm.Byte).WithSymbol("ipv4"),
		asm.JNE.Imm(asm.R0, tcp, "pass").WithSymbol("protocol"),
		asm.LoadMapValue(asm.R1, count, 0),
		asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord),
		asm.Add.Imm(asm.R2, 1),
		asm.StoreMem(asm.R1, 0, asm.R2, asm.DWord),
		asm.Mov.Imm(asm.R1, int32(one)),
		asm.And.Imm(asm.R2, 1),
		asm.JEq.Imm(asm.R2, 0, "send"),
		asm.Mov.Imm(asm.R1, int32(two)),
		asm.Mov.Imm(asm.R2, 0).WithSymbol("send"),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRedirectNeigh.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, unspec).WithSymbol("pass"),
		asm.Return(),
	}
}

// TestClusterSharesExchanges moves every exchange from one director to the other at
// each of its packets. The two have the same secret and the same pages, but not in
// the same places: the second had others before.
func TestClusterSharesExchanges(t *testing.T) {
	for _, attach := range []string{"tc", "xdp"} {
		t.Run(attach, func(t *testing.T) {
			c := newCluster(t)
			key := filepath.Join(t.TempDir(), "cookie.key")
			if err := os.WriteFile(key, []byte("the secret that the two directors of this test share, long enough\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			extra := fmt.Sprintf(", cookie_key_file: %q", key)
			// One comes a segment at a time: many packets, and as many changes.
			paced := service{name: "paced", port: 8081, page: bodyFile("paced.html") + ", burst: 1, compress: off"}
			services := append(pageServices(), paced)
			first := startDirector(t, c.directors[0], attach, extra, services...)
			before := slices.Clone(services)
			for i := range before {
				before[i].page = `body: "Not yet."`
			}
			second := startDirector(t, c.directors[1], attach, extra, before...)
			second.change(t, services...)
			for _, h := range httpClients[:7] {
				for _, vip := range addresses() {
					for _, v := range services {
						t.Run(fmt.Sprintf("%s/%s/%s", h.name, vip, v.name), func(t *testing.T) {
							c.client.unhurt(t, func() { h.wantPage(t, c.client, urlOf(vip, v), page(v.name)) })
						})
					}
				}
			}
			wantEqual(t, first, second)
		})
	}
}

// wantEqual wants both to have sent as many segments of pages, give or take a few.
func wantEqual(t *testing.T, directors ...*director) {
	t.Helper()
	var sent []float64
	for _, d := range directors {
		status, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, float64(status.Verdicts["answer_segment"].Packets))
	}
	t.Logf("segments: %.0f by the first director, %.0f by the second", sent[0], sent[1])
	if total := sent[0] + sent[1]; total < 100 || min(sent[0], sent[1]) < total/4 {
		t.Errorf("the directors have sent %v segments", sent)
	}
}
