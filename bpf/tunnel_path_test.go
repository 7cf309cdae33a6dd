// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// path is a service at the end of a tunnel, whose way is narrower than that of
// its client, with the programs at work on the director.
type path struct {
	*rig
	lab *netlab.Lab
	vip netip.AddrPort
}

const (
	narrow  = 1400 // the MTU behind the director, in bytes
	service = 8080
)

// newPath has one server with the tunnel of a kind. What a path before it has left
// in the rig's tables is forgotten.
func newPath(t *testing.T, r *rig, vip func(*netlab.Lab) netip.Addr, k tunnelKind) *path {
	t.Helper()
	o := netlab.Options{Servers: 1, Method: netlab.TUN, Narrow: narrow}
	if k.kind == DirectorTunnelTUNNEL_GUE {
		o.Tunnel = netlab.GUE
	}
	p := &path{rig: r, lab: netlab.Director(t, o)}
	p.vip = netip.AddrPortFrom(vip(p.lab), service)
	server, near := p.lab.Servers[0].IPv4, netip.MustParseAddr("10.0.0.1")
	if k.dest.Is6() {
		server, near = p.lab.Servers[0].IPv6, netip.MustParseAddr("2001:db8:10::1")
	}
	ring, err := ebpf.NewMap(p.ringSpec)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	s := tunnelTo(near, server, k.kind)
	s.State = DirectorServerStateSERVER_UP
	put(t, ring, uint32(0), [4]uint16{laneServer})
	put(t, p.Servers, uint32(laneServer), s)
	put(t, p.Routes, uint32(laneServer), make([]DirectorRoute, ebpf.MustPossibleCPU()))
	put(t, p.PathMtus, DirectorPath{Source: words(near), Server: words(server)}, DirectorPathMtu{})
	put(t, p.Rings, uint32(id4), ring)
	put(t, p.Forwards, uint32(id4), DirectorForward{Service: serviceKey(p.vip), Slots: 1})
	put(t, p.Services, serviceKey(p.vip), DirectorService{Id: id4})
	put(t, p.Services, endpoint(p.vip, packet.ProtoUDP), DirectorService{Id: id4})
	put(t, p.Backs, DirectorEndpoint{Address: words(server), Protocol: packet.ProtoIPIP}, DirectorBack{})
	put(t, p.Forwarding, uint32(0), DirectorForwardSetting{TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300, FreshLimit: 1 << 20})
	return p
}

// vips are the service addresses of a lab.
func vips() map[string]func(*netlab.Lab) netip.Addr {
	return map[string]func(*netlab.Lab) netip.Addr{
		"ipv4": func(l *netlab.Lab) netip.Addr { return l.VIP4 },
		"ipv6": func(l *netlab.Lab) netip.Addr { return l.VIP6 },
	}
}

// work is where the programs of a path are at work, and what its client leaves to
// its device: checksums, and with them the cutting of segments. XDP on a veth
// device takes whole checksums only, as they come from a wire: what it redirects
// has lost the mark of those to be finished (drivers/net/veth.c, Linux 6.18).
type work struct {
	name         string
	xdp, offload bool
}

func works() []work {
	return []work{{"tc, offload", false, true}, {"tc", false, false}, {"xdp", true, false}}
}

// begin attaches the programs. What the director sends has its checksums
// finished, or the client's kernel would not look at them.
func (p *path) begin(t *testing.T, w work) {
	t.Helper()
	p.attach(t, p.lab.Director.Namespace, w.xdp, "eth0", "srv")
	if err := errors.Join(p.lab.Client.TxChecksum("eth0", w.offload), p.lab.Director.TxChecksum("eth0", false)); err != nil {
		t.Fatal(err)
	}
}

// TestTunnelPathMTU: an upload goes through a tunnel over a way that is narrower
// than its client's. The router behind the director tells it, the director tells
// the client, and both are believed.
func TestTunnelPathMTU(t *testing.T) {
	r := newRig(t)
	for _, k := range tunnelKinds() {
		for version, vip := range vips() {
			for _, w := range works() {
				if testing.Short() && !w.offload && k != tunnelKinds()[0] {
					continue
				}
				t.Run(fmt.Sprintf("%s %s, %s", version, k.name, w.name), func(t *testing.T) {
					p := newPath(t, r, vip, k)
					p.begin(t, w)
					p.upload(t, narrow-k.overhead())
					p.noErrors(t)
				})
			}
		}
	}
}

// upload sends some megabytes, and demands that the server has them and that the
// client ends with the MTU.
func (p *path) upload(t *testing.T, mtu int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	listener, err := p.lab.Servers[0].Listen(ctx, "tcp", p.vip.String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const size = 4 << 20
	page := testPage(size, 0).bytes
	type received struct {
		sum [sha256.Size]byte
		err error
	}
	done := make(chan received, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			done <- received{err: err}
			return
		}
		defer c.Close()
		h := sha256.New()
		_, err = io.Copy(h, c)
		done <- received{[sha256.Size]byte(h.Sum(nil)), err}
	}()
	c, err := p.lab.Client.DialContext(ctx, "tcp", p.vip.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(c, bytes.NewReader(page)); err != nil {
		t.Fatalf("upload: %v", err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-done:
		if got.err != nil || got.sum != sha256.Sum256(page) {
			t.Errorf("the server got something else: %v", got.err)
		}
	case <-ctx.Done():
		t.Fatal("the server has not got all of it")
	}
	if got := mtuOf(t, c); got != mtu {
		t.Errorf("the client's path MTU is %d, want %d", got, mtu)
	}
}

// mtuOf is what the kernel knows of the path of a connection.
func mtuOf(t *testing.T, c net.Conn) (mtu int) {
	t.Helper()
	level, option := unix.IPPROTO_IP, unix.IP_MTU
	if c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	control := func(fd uintptr) { mtu, err = unix.GetsockoptInt(int(fd), level, option) }
	if cerr := raw.Control(control); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return mtu
}

// noErrors demands that the client's kernel has found no ICMP with a wrong sum.
func (p *path) noErrors(t *testing.T) {
	t.Helper()
	out, err := p.lab.Client.Command(t.Context(), "cat", "/proc/net/snmp", "/proc/net/snmp6").Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] == "Icmp:" && names == nil:
			names = fields
		case fields[0] == "Icmp:":
			for i, name := range names {
				if name == "InCsumErrors" && fields[i] != "0" {
					t.Errorf("%s ICMP messages had a wrong checksum", fields[i])
				}
			}
		case fields[0] == "Icmp6InCsumErrors" && fields[1] != "0":
			t.Errorf("%s ICMPv6 messages had a wrong checksum", fields[1])
		}
	}
}
