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
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// natWire is a service with one server by NAT, over real links.
type natWire struct {
	*rig
	lab         *netlab.Lab
	vip, server netip.AddrPort
}

// newNATWire sets the programs to work on both of the director's interfaces.
// Checksums are left to the devices of client and server if offload is wished. What
// the director sends has them finished: else nobody would look at them.
func newNATWire(t *testing.T, vip func(*netlab.Lab) netip.Addr, k natKind, xdp, offload bool) *natWire {
	t.Helper()
	w := &natWire{rig: newRig(t), lab: netlab.Director(t, netlab.Options{Servers: 1, Method: netlab.NAT})}
	w.vip = netip.AddrPortFrom(vip(w.lab), 80)
	host := w.lab.Servers[0]
	w.server = netip.AddrPortFrom(host.IPv4, k.port)
	if w.vip.Addr().Is6() {
		w.server = netip.AddrPortFrom(host.IPv6, k.port)
	}
	set := natSetting(1, 20000, 20999)
	set.Source[0], set.Source[16] = words(host.IPv4.Prev()), words(host.IPv6.Prev())
	put(t, w.Forwarding, uint32(0), set)
	put(t, w.Servers, uint32(1), DirectorServer{
		Address: words(w.server.Addr()), Port: wirePort(k.port), Method: k.method, State: DirectorServerStateSERVER_UP,
	})
	w.ringOf(t, 1)
	w.attach(t, w.lab.Director.Namespace, xdp, "eth0", "srv1")
	err := errors.Join(
		w.lab.Client.TxChecksum("eth0", offload), host.TxChecksum("eth0", offload),
		w.lab.Director.TxChecksum("eth0", false), w.lab.Director.TxChecksum("srv1", false),
	)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// ringOf gives all new flows to the server in a row.
func (w *natWire) ringOf(t *testing.T, row uint16) {
	t.Helper()
	for id, protocol := range map[uint32]uint8{id4: packet.ProtoTCP, idUDP4: packet.ProtoUDP} {
		w.forward(t, id, protocol, row)
	}
}

func (w *natWire) forward(t *testing.T, id uint32, protocol uint8, row uint16) {
	t.Helper()
	ring, err := ebpf.NewMap(w.ringSpec)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	put(t, ring, uint32(0), [4]uint16{row})
	put(t, w.Rings, id, ring)
	put(t, w.Forwards, id, DirectorForward{Service: endpoint(w.vip, protocol), Slots: 1})
	put(t, w.Services, endpoint(w.vip, protocol), DirectorService{Id: id})
	put(t, w.Backs, endpoint(w.server, protocol), DirectorBack{Count: 1, Service: [16]uint16{uint16(id)}})
}

// eachNATWire runs a test for both IP versions, either kind, tc and XDP, with
// checksums finished by the sender and left to its device.
func eachNATWire(t *testing.T, f func(t *testing.T, w *natWire, xdp, offload bool)) {
	t.Helper()
	for version, vip := range vips() {
		for i, k := range []natKind{natKinds()[0], natKinds()[2]} {
			for _, xdp := range []bool{false, true} {
				for _, offload := range []bool{false, true} {
					if spared(version == "ipv6", i == 1, xdp, offload) {
						continue
					}
					name := fmt.Sprintf("%s, %s, xdp %v, offload %v", version, k.name, xdp, offload)
					t.Run(name, func(t *testing.T) { f(t, newNATWire(t, vip, k, xdp, offload), xdp, offload) })
				}
			}
		}
	}
}

// TestNATOnTheWire: an echo of 10 MB is what was sent. XDP does all of it that has
// its checksums, and leaves what has not to tc.
func TestNATOnTheWire(t *testing.T) {
	eachNATWire(t, func(t *testing.T, w *natWire, xdp, offload bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		listener, err := w.lab.Servers[0].Listen(ctx, "tcp", w.server.String())
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		served := make(chan error, 1)
		go func() { served <- echo(ctx, listener) }()

		c, err := w.lab.Client.DialContext(ctx, "tcp", w.vip.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		w.exchange(ctx, t, c)
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
		w.byXDP(t, xdp, offload)
	})
}

// exchange sends 10 MB and demands them back.
func (w *natWire) exchange(ctx context.Context, t *testing.T, c net.Conn) {
	t.Helper()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	content := testPage(10<<20, 0).bytes
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, bytes.NewReader(content))
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	h := sha256.New()
	n, err := io.Copy(h, c)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	if [sha256.Size]byte(h.Sum(nil)) != sha256.Sum256(content) {
		t.Errorf("%d bytes came back, and they are others", n)
	}
}

// echo serves one connection.
func echo(ctx context.Context, l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.Copy(c, c); err != nil {
		return err
	}
	return c.(*net.TCPConn).CloseWrite()
}

// byXDP demands that XDP did nearly all, or nearly nothing.
func (w *natWire) byXDP(t *testing.T, xdp, offload bool) {
	t.Helper()
	now := w.counts(t)
	read := func(v DirectorVerdict) uint64 { return now[id4*verdictRoom+int(v)].Packets }
	all := read(DirectorVerdictFORWARD_FLOW) + read(DirectorVerdictFORWARD_OPEN) + read(DirectorVerdictFORWARD_BACK)
	left := read(DirectorVerdictPASS_DEFERRED)
	t.Logf("%d packets forwarded, %d of them left to tc by XDP", all, left)
	if back := read(DirectorVerdictFORWARD_BACK); back == 0 || back == all {
		t.Errorf("%d of %d packets were answers", back, all)
	}
	switch {
	case !xdp && left != 0, xdp && !offload && left > all/20, xdp && offload && left < all/2:
		t.Errorf("XDP left %d of %d to tc", left, all)
	}
}

// TestNATFragmentsOnTheWire: datagrams that fit no link go and come in fragments.
func TestNATFragmentsOnTheWire(t *testing.T) {
	eachNATWire(t, func(t *testing.T, w *natWire, _, _ bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var server net.PacketConn
		err := w.lab.Servers[0].Do(func() (err error) {
			server, err = net.ListenPacket("udp", w.server.String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		c, err := w.lab.Client.DialContext(ctx, "udp", w.vip.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		deadline, _ := ctx.Deadline()
		if err := errors.Join(c.SetDeadline(deadline), server.SetDeadline(deadline)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 65536)
		for _, size := range []int{1, 1400, 5000, 5001, 60000} {
			sent := testPage(size, 0).bytes
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			n, from, err := server.ReadFrom(got)
			if err != nil || !bytes.Equal(got[:n], sent) {
				t.Fatalf("the server has %d of %d bytes: %v", n, size, err)
			}
			if _, err := server.WriteTo(got[:n], from); err != nil {
				t.Fatal(err)
			}
			if n, err = c.Read(got); err != nil || !bytes.Equal(got[:n], sent) {
				t.Fatalf("the client has %d of %d bytes: %v", n, size, err)
			}
		}
	})
}
