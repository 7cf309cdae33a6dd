// SPDX-License-Identifier: Apache-2.0

package flood

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// TestEveryPacketIsRight has every SYN be one that a kernel takes.
func TestEveryPacketIsRight(t *testing.T) {
	kernel.RequireBPF(t)
	a, b := netlab.Make(t, "a"), netlab.Make(t, "b")
	if err := netlab.Veth(netlab.End{In: a, Name: "eth0"}, netlab.End{In: b, Name: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := b.PassXDP("eth0"); err != nil {
		t.Fatal(err)
	}
	target := Target{
		To: netip.MustParseAddrPort("198.51.100.10:80"), MAC: packet.MAC{2, 0, 0, 0, 0, 9},
		From: netip.MustParsePrefix("100.64.0.0/10"),
	}
	f, err := New(a, "eth0", target)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const n = 40 // which a socket's buffer holds
	frames := listen(t, b, "eth0")
	if err := f.Send(n); err != nil {
		t.Fatal(err)
	}
	seen := map[netip.AddrPort]bool{}
	for range n {
		p := next(t, frames)
		if err := p.ChecksumsOK(); err != nil {
			t.Fatalf("%+v: %v", p.TCP, err)
		}
		if !target.From.Contains(p.Src) || p.TCP.Src.Port() < firstPort || p.TCP.Dst != target.To || p.TCP.Flags != packet.SYN {
			t.Fatalf("%+v", p.TCP)
		}
		seen[p.TCP.Src] = true
	}
	if len(seen) < n-2 {
		t.Errorf("%d sources in %d packets", len(seen), n)
	}
}

func TestNoTarget(t *testing.T) {
	kernel.RequireBPF(t)
	n := netlab.Make(t, "a")
	four, six := netip.MustParsePrefix("100.64.0.0/10"), netip.MustParseAddrPort("[2001:db8::1]:80")
	if _, err := New(n, "lo", Target{To: six, From: four}); err == nil {
		t.Error("a target of IPv6 is taken")
	}
	if _, err := New(n, "eth9", Target{To: netip.MustParseAddrPort("192.0.2.1:80"), From: four}); err == nil {
		t.Error("a device that is not there is taken")
	}
}

// listen opens a socket that gets what comes in by a device.
func listen(t *testing.T, n *netlab.Namespace, dev string) int {
	t.Helper()
	link, err := n.Netlink().LinkByName(dev)
	if err != nil {
		t.Fatal(err)
	}
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network order
	var fd int
	err = n.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	limit := unix.Timeval{Sec: 5}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	return fd
}

// next reads a TCP packet.
func next(t *testing.T, fd int) packet.Packet {
	t.Helper()
	b := make([]byte, 2000)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := packet.Parse(b[:n])
		if err == nil && p.TCP != nil {
			return p
		}
	}
}
