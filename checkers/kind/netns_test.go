// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/test/netlab"
)

// namespace is one of the test's own, which only root can make.
func namespace(t *testing.T) *netlab.Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("network namespaces need root")
		}
		t.Skip("network namespaces need root")
	}
	return netlab.Make(t, "kind")
}

// serveIn accepts connections, and answers datagrams with themselves, at a
// loopback address of a namespace.
func serveIn(t *testing.T, n *netlab.Namespace) netip.AddrPort {
	t.Helper()
	l, err := n.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	p, err := n.ListenPacket(t.Context(), "udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { _, _ = l.Close(), p.Close(); serving.Wait() })
	serving.Go(func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_ = conn.Close()
		}
	})
	serving.Go(func() {
		buffer := make([]byte, 64)
		for n, peer, err := p.ReadFrom(buffer); err == nil; n, peer, err = p.ReadFrom(buffer) {
			_, _ = p.WriteTo(buffer[:n], peer)
		}
	})
	return at
}

// TestNetns asks a server that only a namespace has, many times at once and in
// turns with one of our own, so that a thread left behind there would show.
func TestNetns(t *testing.T) {
	n := namespace(t)
	inside, own := serveIn(t, n), serve(t, func(net.Conn) {})
	tcp, there := mustTCP(t, Dialer{}.Dial), Origin{Netns: n.Name()}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if r := From(tcp, there).Check(t.Context(), inside); r.Outcome != checkers.OutcomePass {
					t.Errorf("inside: %+v", r)
				}
				if r := tcp.Check(t.Context(), own); r.Outcome != checkers.OutcomePass {
					t.Errorf("outside: %+v", r)
				}
			}
		})
	}
	all.Wait()
	if r := tcp.Check(t.Context(), inside); r.Class != checkers.ClassRefused {
		t.Errorf("from outside: %+v", r)
	}
	if r := From(tcp, there).Check(t.Context(), own); r.Class != checkers.ClassRefused {
		t.Errorf("ours from inside: %+v", r)
	}
	if r := From(tcp, Origin{Netns: n.Name(), Device: "lo", Ports: Ports{24000, 24999}, Mark: 7}).Check(t.Context(), inside); r.Outcome != checkers.OutcomePass {
		t.Errorf("with all there is: %+v", r)
	}
}

func TestNetnsDatagrams(t *testing.T) {
	n := namespace(t)
	at := serveIn(t, n)
	ctx := from(t, Origin{Netns: n.Name()})
	c, err := Dialer{}.DialUDP(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := Dialer{}.ListenPacket(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	buffer, soon := make([]byte, 16), time.Now().Add(10*time.Second)
	_, _ = c.SetDeadline(soon), p.SetDeadline(soon)
	if _, err := c.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buffer); err != nil || string(buffer[:n]) != "one" {
		t.Errorf("heard %q, %v", buffer[:n], err)
	}
	if _, err := p.WriteTo([]byte("two"), net.UDPAddrFromAddrPort(at)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := p.ReadFrom(buffer); err != nil || string(buffer[:n]) != "two" {
		t.Errorf("heard %q, %v", buffer[:n], err)
	}
}

// TestNoNetns has names of nothing, and of what is no namespace.
func TestNoNetns(t *testing.T) {
	r := From(must(t, "tcp", m{}), Origin{Netns: "no-such-one"}).Check(t.Context(), netip.MustParseAddrPort("127.0.0.1:1"))
	if r.Outcome != checkers.OutcomeUnknown || r.Class != checkers.ClassLocal ||
		r.Message != "connect 127.0.0.1:1: not run: no such file or directory: the director has none of that name (ip netns list)" {
		t.Errorf("got %+v", r)
	}
	n := namespace(t) // so that there is the folder
	name := n.Name() + "-file"
	if err := os.WriteFile(Namespaces+"/"+name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(Namespaces + "/" + name) }()
	if _, err := (Dialer{}).ListenPacket(from(t, Origin{Netns: name}), netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, syscall.EINVAL) || classify(err) != checkers.ClassLocal {
		t.Errorf("a plain file: %v", err)
	}
}

// TestVRF has the server's address in the tables of a VRF alone.
func TestVRF(t *testing.T) {
	n := namespace(t)
	for _, args := range []string{"add blue type vrf table 10", "add port type dummy", "set port master blue"} {
		out, err := n.Command(t.Context(), "ip", strings.Fields("link "+args)...).CombinedOutput()
		if strings.Contains(string(out), "Unknown device type") {
			t.Skip("this kernel is built without VRF or dummy devices")
		}
		if err != nil {
			t.Fatalf("ip link %s: %v: %s", args, err, out)
		}
	}
	for _, err := range []error{n.Up("blue"), n.Up("port"), n.AddAddr("port", netip.MustParsePrefix("10.9.0.1/24"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var l net.Listener
	err := n.Do(func() (err error) {
		bound := net.ListenConfig{Control: Origin{Device: "blue"}.ready}
		l, err = bound.Listen(context.Background(), "tcp", "10.9.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target := l.Addr().(*net.TCPAddr).AddrPort()
	tcp := mustTCP(t, Dialer{}.Dial)
	if r := From(tcp, Origin{Netns: n.Name(), Device: "blue"}).Check(t.Context(), target); r.Outcome != checkers.OutcomePass {
		t.Errorf("in the VRF: %+v", r)
	}
	if r := From(tcp, Origin{Netns: n.Name()}).Check(t.Context(), target); r.Outcome != checkers.OutcomeFail {
		t.Errorf("beside the VRF: %+v", r)
	}
}
