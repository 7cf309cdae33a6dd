// SPDX-License-Identifier: Apache-2.0

package netlab_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

func TestDirectorReachesServers(t *testing.T) {
	kernel.RequireBPF(t)
	for _, tt := range []struct {
		name string
		netlab.Options
	}{
		{"NAT", netlab.Options{Method: netlab.NAT}},
		{"DR", netlab.Options{Method: netlab.DR}},
		{"TUN", netlab.Options{Method: netlab.TUN}},
		{"full NAT", netlab.Options{Method: netlab.FullNAT}},
		{"NAT by a router", netlab.Options{Method: netlab.NAT, Narrow: 1400}},
		{"TUN by a router", netlab.Options{Method: netlab.TUN, Narrow: 1400}},
		{"DR on a segment", netlab.Options{Method: netlab.DR, OneArmed: true}},
		{"TUN on a segment", netlab.Options{Method: netlab.TUN, OneArmed: true}},
		{"full NAT on a segment", netlab.Options{Method: netlab.FullNAT, OneArmed: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.Servers = 3
			lab := netlab.Director(t, tt.Options)
			if len(lab.Servers) != 3 {
				t.Fatalf("%d servers, want 3", len(lab.Servers))
			}
			for _, server := range lab.Servers {
				echo(t, server.Namespace, lab.Director.Namespace, server.IPv4)
				echo(t, server.Namespace, lab.Director.Namespace, server.IPv6)
			}
			if tt.Method == netlab.NAT {
				echo(t, lab.Servers[2].Namespace, lab.Client.Namespace, lab.Servers[2].IPv4)
				echo(t, lab.Servers[2].Namespace, lab.Client.Namespace, lab.Servers[2].IPv6)
			}
		})
	}
}

func TestLabsThatAreNone(t *testing.T) {
	for name, o := range map[string]netlab.Options{
		"many servers":            {Servers: 201},
		"NAT on a segment":        {OneArmed: true},
		"a router on the segment": {OneArmed: true, Method: netlab.DR, Narrow: 1400},
	} {
		if _, err := netlab.NewDirector(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestNarrowLab sends what the link to the director takes and the one behind the
// router does not.
func TestNarrowLab(t *testing.T) {
	kernel.RequireBPF(t)
	lab := netlab.Director(t, netlab.Options{Servers: 1, Narrow: 1400})
	c, err := lab.Director.DialContext(t.Context(), "udp", netip.AddrPortFrom(lab.Servers[0].IPv4, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	set := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	})
	if err := errors.Join(set, err); err != nil {
		t.Fatal(err)
	}
	for range 100 { // until the router's message is here
		if _, err = c.Write(make([]byte, 1401-28)); errors.Is(err, unix.EMSGSIZE) {
			return
		}
	}
	t.Errorf("no router minds 1401 bytes: %v", err)
}

func TestCrowd(t *testing.T) {
	kernel.RequireBPF(t)
	lab := netlab.Director(t, netlab.Options{Servers: 1})
	server := lab.Servers[0]
	for from, to := range map[string]netip.Addr{"198.18.77.7": server.IPv4, "2001:db8:c::77": server.IPv6} {
		l, err := server.Listen(t.Context(), "tcp", netip.AddrPortFrom(to, 7).String())
		if err != nil {
			t.Fatal(err)
		}
		want := netip.MustParseAddr(from)
		c, err := lab.Client.DialFrom(t.Context(), netip.AddrPortFrom(want, 0), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := netip.MustParseAddrPort(accepted.RemoteAddr().String()).Addr(); got != want {
			t.Errorf("the server sees %v, want %v", got, want)
		}
		_, _, _ = c.Close(), accepted.Close(), l.Close()
	}
}
