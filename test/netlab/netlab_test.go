// SPDX-License-Identifier: Apache-2.0

package netlab_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

func TestDoRunsInsideAndComesBack(t *testing.T) {
	kernel.RequireRoot(t)
	n := netlab.Make(t, "do")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	fault := errors.New("fault")
	err = n.Do(func() error {
		inside, err := netns.Get()
		if err != nil {
			return err
		}
		defer inside.Close()
		if inside.Equal(before) {
			t.Error("Do ran outside")
		}
		return fault
	})
	if !errors.Is(err, fault) {
		t.Errorf("got %v, want the fault", err)
	}
	after, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if !after.Equal(before) {
		t.Error("the caller's thread has moved")
	}
}

func TestDoSurvivesGoexit(t *testing.T) {
	kernel.RequireRoot(t)
	n := netlab.Make(t, "goexit")
	if err := n.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error from a function that never returned")
	}
}

func TestCloseRemovesTheName(t *testing.T) {
	kernel.RequireRoot(t)
	n, err := netlab.New("gone")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(n.Path()); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(n.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCommandRunsInside(t *testing.T) {
	kernel.RequireRoot(t)
	n := netlab.Make(t, "command")
	if err := n.AddAddr("lo", netip.MustParsePrefix("203.0.113.77/32")); err != nil {
		t.Fatal(err)
	}
	out, err := n.Command(t.Context(), "cat", "/proc/net/fib_trie").Output()
	if err != nil || !strings.Contains(string(out), "203.0.113.77") {
		t.Errorf("error %v, output:\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := n.Command(ctx, "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("the program outlived its context")
	}
}

func TestMissingDevice(t *testing.T) {
	kernel.RequireRoot(t)
	n := netlab.Make(t, "missing")
	for name, err := range map[string]error{
		"Up":      n.Up("eth9"),
		"AddAddr": n.AddAddr("eth9", netip.MustParsePrefix("192.0.2.1/24")),
		"PassXDP": n.PassXDP("eth9"),
		"Delete":  n.Delete("eth9"),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want %v", name, err, fs.ErrNotExist)
		}
	}
	if err := n.TxChecksum("eth9", false); !errors.Is(err, unix.ENODEV) {
		t.Errorf("TxChecksum: %v, want %v", err, unix.ENODEV)
	}
}

func TestDialRefusesNames(t *testing.T) {
	kernel.RequireRoot(t)
	n := netlab.Make(t, "dial")
	if _, err := n.DialContext(t.Context(), "tcp", "localhost:80"); err == nil {
		t.Error("dialled a name")
	}
}

// TestServersAnswerPastTheDirector takes what the director would do with DR for
// done: the packet to the service address arrives by the server's eth0.
func TestServersAnswerPastTheDirector(t *testing.T) {
	kernel.RequireBPF(t)
	lab := netlab.Director(t, netlab.Options{Servers: 1, Method: netlab.DR})
	server := lab.Servers[0]
	for vip, via := range map[netip.Addr]netip.Addr{lab.VIP4: server.IPv4, lab.VIP6: server.IPv6} {
		if err := lab.Director.AddRoute(netip.PrefixFrom(vip, vip.BitLen()), via); err != nil {
			t.Fatal(err)
		}
		echo(t, server.Namespace, lab.Client.Namespace, vip)
	}
	link, err := lab.Director.Netlink().LinkByName("srv1")
	if err != nil {
		t.Fatal(err)
	}
	if s := link.Attrs().Statistics; s.RxBytes > s.TxBytes {
		t.Errorf("director got %d bytes from the server for %d sent: answers came back by it", s.RxBytes, s.TxBytes)
	}
}

func TestVLANAndOffload(t *testing.T) {
	kernel.RequireRoot(t)
	a, b := netlab.Make(t, "a"), netlab.Make(t, "b")
	if err := netlab.Veth(netlab.End{In: a, Name: "eth0"}, netlab.End{In: b, Name: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{false, true} {
		if err := a.TxChecksum("eth0", on); err != nil {
			t.Error(err)
		}
	}
	err := a.VLAN("eth0", 100)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("kernel has no VLAN devices: %v", err)
	}
	if err = errors.Join(err, b.VLAN("eth0", 100)); err != nil {
		t.Fatal(err)
	}
	for n, prefix := range map[*netlab.Namespace]string{a: "192.0.2.1/24", b: "192.0.2.2/24"} {
		if err := n.AddAddr("eth0.100", netip.MustParsePrefix(prefix)); err != nil {
			t.Fatal(err)
		}
	}
	echo(t, b, a, netip.MustParseAddr("192.0.2.2"))
}

// echo listens on ip in one namespace and says a word to it from another.
func echo(t *testing.T, server, client *netlab.Namespace, ip netip.Addr) {
	t.Helper()
	l, err := server.Listen(t.Context(), "tcp", netip.AddrPortFrom(ip, 7).String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	defer func() { l.Close(); <-done }()
	conn, err := client.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("echo from %v: %q, %v", ip, got, err)
	}
}
