// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/checkers"
)

// TestThroughAsksTheServiceWithAMark has the server at one address of the
// loopback network and the service at another.
func TestThroughAsksTheServiceWithAMark(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("SO_MARK needs root")
		}
		t.Skip("SO_MARK needs root")
	}
	l, err := net.Listen("tcp", "127.0.0.7:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	service := l.Addr().(*net.TCPAddr).AddrPort()
	const mark = 0x6d000007
	var seen int
	dial := func(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
		conn, err := Dialer{}.Dial(ctx, target)
		if err != nil {
			return nil, err
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { seen, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) })
		}
		return conn, err
	}
	check := mustTCP(t, dial)
	r := Through(check, Way{Service: service, Mark: mark}).Check(t.Context(), netip.MustParseAddrPort("127.0.0.9:4711"))
	if r.Outcome != checkers.OutcomePass {
		t.Fatalf("the check through %s: %+v", service, r)
	}
	if seen != mark {
		t.Errorf("its packets bear the mark %#x, want %#x", seen, mark)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); from != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("it came from %s, want the address towards the server, 127.0.0.1", from)
	}
}

func TestNoWayToTheServer(t *testing.T) {
	check := must(t, "tcp", nil)
	way := Way{Service: netip.MustParseAddrPort("127.0.0.1:1"), Mark: 1}
	r := Through(check, way).Check(t.Context(), netip.MustParseAddrPort("[fe80::1%nosuchdev]:80"))
	if r.Outcome == checkers.OutcomePass {
		t.Errorf("a server that no address of the director leads to: %+v", r)
	}
}
