// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/dropper"
)

// BenchmarkBurst measures how long a client waits for a page, by its length, the
// round-trip time, the loss each way and how many segments come at once. Run it with
// -benchtime 40x or so.
func BenchmarkBurst(b *testing.B) {
	for _, length := range []int{20000, 60000} {
		for _, way := range []struct {
			delay time.Duration // each way
			loss  float64
		}{{0, 0}, {5 * time.Millisecond, 0}, {25 * time.Millisecond, 0}, {5 * time.Millisecond, 0.05}} {
			for _, burst := range []int{1, 4, 10} {
				b.Run(fmt.Sprintf("%d bytes/rtt %v/loss %g/burst %d", length, 2*way.delay, way.loss, burst), func(b *testing.B) {
					e := newEngine(b, maps.AttachTC, length)
					e.putBurst(b, burst)
					far := newFarClient(b, e, way.delay, way.loss)
					far.fetch(b) // neighbours are found, and what is to be in a cache is
					var longest, all time.Duration
					b.ResetTimer()
					for range b.N {
						took := far.fetch(b)
						all, longest = all+took, max(longest, took)
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(float64(all.Microseconds())/1000/float64(b.N), "ms/page")
					b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest")
				})
			}
		}
	}
}

// farClient is behind a way that takes time and loses packets: a tun device in the
// client's namespace, whose packets a relay takes to its link and back.
type farClient struct {
	e     *engine
	tun   *os.File
	link  int // a packet socket on eth0
	to    unix.SockaddrLinklayer
	delay time.Duration
	loss  float64
	out   chan delayed
	back  chan delayed
}

type delayed struct {
	at     time.Time
	packet []byte
}

// newFarClient has its own address, which is routed to the client. What comes to
// eth0 goes to the relay alone.
func newFarClient(b *testing.B, e *engine, delay time.Duration, loss float64) *farClient {
	b.Helper()
	f := &farClient{e: e, delay: delay, loss: loss, out: make(chan delayed, 1<<16), back: make(chan delayed, 1<<16)}
	d, err := dropper.Attach(e.Client.Namespace, "eth0", dropper.Ingress, 1)
	if err == nil {
		err = e.Client.Do(f.open)
	}
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context){f.fromTun, f.fromLink, f.toLink, f.toTun} {
		wg.Go(func() { run(ctx) })
	}
	b.Cleanup(func() {
		cancel()
		_ = f.tun.Close()
		wg.Wait()
		_ = unix.Close(f.link)
		_ = d.Close()
	})
	return f
}

func (f *farClient) address() netip.Addr { return f.e.Nobody4.Addr().Next() }

func (f *farClient) open() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "far"
	tun := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_ONE_QUEUE, Queues: 1}
	if err := netlink.LinkAdd(tun); err != nil {
		return fmt.Errorf("make a tun device: %w", err)
	}
	f.tun = tun.Fds[0]
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	mac, err := f.e.Director.MAC("eth0")
	if err != nil {
		return err
	}
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // those alone see what is dropped
	const ip = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8
	f.to = unix.SockaddrLinklayer{Protocol: ip, Ifindex: eth0.Attrs().Index, Halen: 6}
	copy(f.to.Addr[:], mac)
	if f.link, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all); err != nil {
		return err
	}
	host := func(a netip.Addr) *netlink.Addr {
		x, _ := netlink.ParseAddr(netip.PrefixFrom(a, 32).String())
		return x
	}
	vip := host(f.e.VIP4)
	return errors.Join(
		unix.SetsockoptTimeval(f.link, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000}),
		unix.Bind(f.link, &unix.SockaddrLinklayer{Protocol: all, Ifindex: f.to.Ifindex}),
		netlink.AddrAdd(tun, host(f.address())), netlink.LinkSetUp(tun),
		netlink.RouteAdd(&netlink.Route{LinkIndex: tun.Index, Dst: vip.IPNet, Src: f.address().AsSlice()}),
	)
}

// queue is put in at one end and taken at the other once it is due.
func (f *farClient) queue(to chan<- delayed, packet []byte) {
	if rand.Float64() >= f.loss {
		to <- delayed{time.Now().Add(f.delay), packet}
	}
}

func (f *farClient) fromTun(ctx context.Context) {
	for buffer := make([]byte, 2048); ctx.Err() == nil; {
		n, err := f.tun.Read(buffer)
		if err != nil {
			return
		}
		f.queue(f.out, bytes.Clone(buffer[:n]))
	}
}

func (f *farClient) fromLink(ctx context.Context) {
	for buffer := make([]byte, 2048); ctx.Err() == nil; {
		n, from, err := unix.Recvfrom(f.link, buffer, 0)
		if l, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && l.Pkttype != unix.PACKET_OUTGOING && l.Protocol == f.to.Protocol {
			f.queue(f.back, bytes.Clone(buffer[:n]))
		}
	}
}

func (f *farClient) toLink(ctx context.Context) {
	deliver(ctx, f.out, func(packet []byte) { _ = unix.Sendto(f.link, packet, 0, &f.to) })
}

func (f *farClient) toTun(ctx context.Context) {
	deliver(ctx, f.back, func(packet []byte) { _, _ = f.tun.Write(packet) })
}

func deliver(ctx context.Context, from <-chan delayed, send func([]byte)) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-from:
			time.Sleep(time.Until(d.at))
			send(d.packet)
		}
	}
}

// fetch wants the page, and tells how long it took from the request to its end.
func (f *farClient) fetch(b *testing.B) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), perRequest)
	defer cancel()
	c, err := f.e.Client.DialFrom(ctx, netip.AddrPortFrom(f.address(), 0), "tcp", netip.AddrPortFrom(f.e.VIP4, 80).String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		b.Fatal(err)
	}
	got, err := io.ReadAll(c)
	took := time.Since(began)
	if err != nil || !bytes.HasSuffix(got, f.e.body) {
		b.Fatalf("%d bytes: %v", len(got), err)
	}
	return took
}
