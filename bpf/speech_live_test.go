// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/dropper"
	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// speechWire is a sorry service that a client reaches over real links.
type speechWire struct {
	*rig
	lab *netlab.Lab
	vip netip.AddrPort
}

// newSpeechWire sets the programs to work. The client leaves its checksums to its
// device if offload is wished.
func newSpeechWire(t *testing.T, vip netip.AddrPort, lab *netlab.Lab, page speechPage, xdp, offload bool) *speechWire {
	t.Helper()
	w := &speechWire{newRig(t), lab, vip}
	w.putRow(t, 1, page.row())
	for id, protocol := range map[uint32]uint8{id4: packet.ProtoTCP, idUDP4: packet.ProtoUDP} {
		put(t, w.Services, endpoint(vip, protocol), DirectorService{
			Id: id, Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{1, 0},
		})
	}
	w.attach(t, lab.Director.Namespace, xdp, "eth0")
	if err := errors.Join(lab.Client.TxChecksum("eth0", offload), lab.Director.TxChecksum("eth0", false)); err != nil {
		t.Fatal(err)
	}
	return w
}

// eachSpeechWire runs a test for both IP versions, tc and XDP, with checksums
// finished by the sender and left to its device.
func eachSpeechWire(t *testing.T, page speechPage, f func(t *testing.T, w *speechWire)) {
	t.Helper()
	for version, vip := range vips() {
		for _, xdp := range []bool{false, true} {
			for _, offload := range []bool{false, true} {
				if spared(version == "ipv6", xdp, offload) {
					continue
				}
				t.Run(fmt.Sprintf("%s, xdp %v, offload %v", version, xdp, offload), func(t *testing.T) {
					lab := netlab.Director(t, netlab.Options{Servers: 1, Method: netlab.NAT})
					f(t, newSpeechWire(t, netip.AddrPortFrom(vip(lab), 53), lab, page, xdp, offload))
				})
			}
		}
	}
}

func (w *speechWire) dial(t *testing.T, network string) net.Conn {
	t.Helper()
	c, err := w.lab.Client.DialContext(t.Context(), network, w.vip.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDNSOnTheWire: the question comes back over UDP, and over TCP whichever way
// its length was sent.
func TestDNSOnTheWire(t *testing.T) {
	q := query(0x1234, recursive, "www.example.net", edns...)
	eachSpeechWire(t, dnsPage, func(t *testing.T, w *speechWire) {
		for name, writes := range map[string][][]byte{
			"udp":                   {q},
			"tcp":                   {framed(q)},
			"tcp, its length first": {framed(q)[:2], q},
		} {
			t.Run(name, func(t *testing.T) {
				c := w.dial(t, name[:3])
				for _, b := range writes {
					if _, err := c.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				want, got := failed(q), make([]byte, 600)
				n, err := 0, error(nil)
				if name == "udp" {
					n, err = c.Read(got)
				} else {
					want = framed(want)
					got, err = io.ReadAll(c)
					n = len(got)
				}
				if err != nil || !bytes.Equal(got[:n], want) {
					t.Errorf("got %x: %v, want %x", got[:n], err, want)
				}
			})
		}
	})
}

// TestUnreachableOnTheWire: the client's kernel tells it at once.
func TestUnreachableOnTheWire(t *testing.T) {
	eachSpeechWire(t, unreachablePage, func(t *testing.T, w *speechWire) {
		c := w.dial(t, "udp")
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 100)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%d bytes: %v", n, err)
		}
	})
}

// TestHTTP2OnTheWire: a client that waits for the server's settings before it
// asks, as that of gRPC does.
func TestHTTP2OnTheWire(t *testing.T) {
	page := http2Page(t, 300)
	eachSpeechWire(t, page, func(t *testing.T, w *speechWire) {
		c := w.dial(t, "tcp")
		got := make([]byte, len(page.bytes))
		for _, x := range []struct {
			says  []byte
			hears []byte
		}{
			{append([]byte(http2.ClientPreface), frames(t, settings, window)...), page.bytes[:page.head]},
			{frames(t, settingsAck, request(0)), page.bytes[page.head:]},
		} {
			if _, err := c.Write(x.says); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, got[:len(x.hears)]); err != nil || !bytes.Equal(got[:len(x.hears)], x.hears) {
				t.Fatalf("got %x: %v, want %x", got[:len(x.hears)], err, x.hears)
			}
		}
		if n, err := c.Read(got); !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes behind the page: %v", n, err)
		}
	})
}

// TestGreetingLoss loses 5 % of the packets each way. Sent once, one of ten
// clients would never be greeted: see twice.h.
func TestGreetingLoss(t *testing.T) {
	const loss, most = 0.05, 0.04
	attempts := 1000
	if testing.Short() {
		attempts = 200
	}
	page := greetingPages()[0]
	lab := netlab.Director(t, netlab.Options{Servers: 1, Method: netlab.NAT})
	w := newSpeechWire(t, netip.AddrPortFrom(lab.VIP4, 25), lab, page, false, false)
	for _, d := range []dropper.Direction{dropper.Ingress, dropper.Egress} {
		dr, err := dropper.Attach(lab.Client.Namespace, "eth0", d, loss)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dr.Close() })
	}
	var wg sync.WaitGroup
	var silent atomic.Int32
	slots := make(chan struct{}, 100)
	for range attempts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			switch got, err := w.greeting(t.Context()); {
			case len(got) == 0 && errors.Is(err, os.ErrDeadlineExceeded):
				silent.Add(1)
			case err != nil || !bytes.Equal(got, page.bytes):
				t.Errorf("got %q: %v", got, err)
			}
		})
	}
	wg.Wait()
	t.Logf("of %d clients %d were not greeted", attempts, silent.Load())
	if float64(silent.Load()) > most*float64(attempts) {
		t.Errorf("more than %v of them", most)
	}
}

// greeting is what a client hears that says nothing.
func (w *speechWire) greeting(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := w.lab.Client.DialContext(ctx, "tcp", w.vip.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}
