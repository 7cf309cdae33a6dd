// SPDX-License-Identifier: Apache-2.0

package dropper_test

import (
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/test/dropper"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

func TestDropper(t *testing.T) {
	kernel.RequireBPF(t)
	const sent = 4000
	for _, tt := range []struct {
		name        string
		probability float64
	}{{"never", 0}, {"always", 1}, {"one in four", 0.25}} {
		for direction, name := range []string{"ingress", "egress"} {
			t.Run(tt.name+" "+name, func(t *testing.T) {
				a, b := pair(t)
				n := map[dropper.Direction]*netlab.Namespace{dropper.Ingress: b, dropper.Egress: a}[dropper.Direction(direction)]
				d, err := dropper.Attach(n, "eth0", dropper.Direction(direction), tt.probability)
				if err != nil {
					t.Fatal(err)
				}
				got := send(t, a, b, sent)
				c, err := d.Counts()
				if err != nil {
					t.Fatal(err)
				}
				// Neighbour discovery and reports of group membership may come by as well.
				if c.Seen < sent || c.Seen > sent+50 {
					t.Errorf("seen %d packets of %d", c.Seen, sent)
				}
				if lost := uint64(sent - got); lost > c.Dropped || lost+50 < c.Dropped {
					t.Errorf("counted %d dropped, the receiver misses %d", c.Dropped, lost)
				}
				want := tt.probability * float64(c.Seen)
				sigma := math.Sqrt(want * (1 - tt.probability))
				if off := math.Abs(float64(c.Dropped) - want); off > 6*sigma {
					t.Errorf("dropped %d, want %.0f within %.0f", c.Dropped, want, 6*sigma)
				}
			})
		}
	}
}

func TestCloseAndSetProbability(t *testing.T) {
	kernel.RequireBPF(t)
	a, b := pair(t)
	d, err := dropper.Attach(a, "eth0", dropper.Egress, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetProbability(1); err != nil {
		t.Fatal(err)
	}
	if got := send(t, a, b, 10); got != 0 {
		t.Errorf("%d of 10 came through a probability of 1", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := send(t, a, b, 10); got != 10 {
		t.Errorf("%d of 10 came through after Close", got)
	}
}

func TestAttachFails(t *testing.T) {
	kernel.RequireBPF(t)
	a, _ := pair(t)
	if _, err := dropper.Attach(a, "eth9", dropper.Ingress, 1); err == nil {
		t.Error("attached to a device that is not there")
	}
}

// pair joins two namespaces whose neighbour entries are fixed, so that no ARP
// exchange is lost.
func pair(t *testing.T) (a, b *netlab.Namespace) {
	t.Helper()
	a, b = netlab.Make(t, "a"), netlab.Make(t, "b")
	end := func(n *netlab.Namespace, ip string) netlab.End {
		return netlab.End{In: n, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix(ip)}}
	}
	if err := netlab.Veth(end(a, "192.0.2.1/24"), end(b, "192.0.2.2/24"), 0); err != nil {
		t.Fatal(err)
	}
	if got := send(t, a, b, 1); got != 1 { // resolves the neighbour
		t.Fatal("the link does not work")
	}
	return a, b
}

// send sends datagrams from a to b and returns how many came.
func send(t *testing.T, a, b *netlab.Namespace, count int) (got int) {
	t.Helper()
	in, err := b.ListenPacket(t.Context(), "udp", "192.0.2.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.(*net.UDPConn).SetReadBuffer(1 << 20); err != nil {
		t.Fatal(err)
	}
	out, err := a.DialContext(t.Context(), "udp", "192.0.2.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	buffer := make([]byte, 16)
	receive := func(wait time.Duration) bool {
		_ = in.SetReadDeadline(time.Now().Add(wait))
		_, _, err := in.ReadFrom(buffer)
		return err == nil
	}
	for i := range count {
		if _, err := out.Write([]byte("packet")); err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
		if i%50 == 49 { // drain before the socket's buffer fills
			for receive(time.Millisecond) {
				got++
			}
		}
	}
	for got < count && receive(time.Second) {
		got++
	}
	return got
}
