// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/checkers"
)

// from is a context that carries an origin as it reaches a dialer.
func from(t *testing.T, o Origin) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), originKey{}, o)
}

// local is the local address of a connection or a socket.
func local(t *testing.T, c interface{ LocalAddr() net.Addr }) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// TestOriginSource opens a socket of each sort from an address and from a range of
// ports.
func TestOriginSource(t *testing.T) {
	server := listen(t)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	o := Origin{Source: netip.MustParseAddr("127.0.0.77"), Ports: Ports{21000, 21999}}
	ctx, sorts := from(t, o), map[string]func(context.Context) (netip.AddrPort, error){
		"tcp": func(ctx context.Context) (netip.AddrPort, error) {
			c, err := Dialer{}.Dial(ctx, server.target)
			if err != nil {
				return netip.AddrPort{}, err
			}
			defer c.Close()
			return local(t, c), nil
		},
		"udp": func(ctx context.Context) (netip.AddrPort, error) {
			c, err := Dialer{}.DialUDP(ctx, local(t, udp))
			if err != nil {
				return netip.AddrPort{}, err
			}
			defer c.Close()
			return local(t, c), nil
		},
		"udp that hears everybody": func(ctx context.Context) (netip.AddrPort, error) {
			c, err := Dialer{}.ListenPacket(ctx, local(t, udp))
			if err != nil {
				return netip.AddrPort{}, err
			}
			defer c.Close()
			return local(t, c), nil
		},
	}
	for name, open := range sorts {
		t.Run(name, func(t *testing.T) {
			got, err := open(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if got.Addr() != o.Source || got.Port() < o.Ports.Low || got.Port() > o.Ports.High {
				t.Errorf("came from %s, want %+v", got, o)
			}
			if got, err = open(t.Context()); err != nil || got.Port() == 0 || got.Addr() == o.Source {
				t.Errorf("with no origin it came from %s, %v", got, err)
			}
		})
	}
}

// TestListenPacketSpeaks has a datagram go there and back, in both families.
func TestListenPacketSpeaks(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			server, err := net.ListenPacket("udp", address)
			if err != nil {
				t.Skipf("this machine has no such address: %v", err)
			}
			defer server.Close()
			c, err := Dialer{}.ListenPacket(t.Context(), local(t, server))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.WriteTo([]byte("ask"), server.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 16)
			n, peer, err := server.ReadFrom(buffer)
			if err != nil || string(buffer[:n]) != "ask" {
				t.Fatalf("the server heard %q, %v", buffer[:n], err)
			}
			if _, err := server.WriteTo([]byte("answer"), peer); err != nil {
				t.Fatal(err)
			}
			if n, _, err = c.ReadFrom(buffer); err != nil || string(buffer[:n]) != "answer" {
				t.Errorf("heard %q, %v", buffer[:n], err)
			}
		})
	}
}

// TestSearchPorts fills a range.
func TestSearchPorts(t *testing.T) {
	o := Origin{Source: netip.MustParseAddr("127.0.0.78"), Ports: Ports{22000, 22001}}
	seen := map[uint16]bool{}
	for range 3 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err = o.search(fd); len(seen) == 2 {
			if own := new(fault); !errors.As(err, &own) || remedy(err) != "no port from 22000 to 22001 is free: widen source_ports" {
				t.Errorf("the third socket in a range of two: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(fd, 1); err != nil { // else the next one may share the port
			t.Fatal(err)
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		seen[uint16(name.(*unix.SockaddrInet4).Port)] = true
	}
}

// TestOriginFaults are faults of the director: they say nothing of the server.
func TestOriginFaults(t *testing.T) {
	server := listen(t)
	tests := []struct {
		name    string
		origin  Origin
		message string
	}{
		{"a device that is not there", Origin{Device: "nosuchdev0"}, "not run: no such device: the director has no such device"},
		{"a source of the other family", Origin{Source: netip.MustParseAddr("::1")}, "not run: no way from ::1 to 127.0.0.1: the source address has to be of the server's family"},
		{"a source that is not ours", Origin{Source: netip.MustParseAddr("192.0.2.77")}, "not run: cannot assign requested address: " + noPort},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := From(mustTCP(t, Dialer{}.Dial), test.origin).Check(t.Context(), server.target)
			if want := "connect " + server.target.String() + ": " + test.message; r.Outcome != checkers.OutcomeUnknown || r.Class != checkers.ClassLocal || r.Message != want {
				t.Errorf("got %+v\nwant %q", r, want)
			}
		})
	}
}
