// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/test/netlab"
)

// TestBurstsOnTheWire: real clients get every byte, and their kernel finds nothing
// wrong with a checksum, be those of the request finished by the sender or left to
// its device. The director's device finishes what is left to it, so that somebody
// looks at it.
func TestBurstsOnTheWire(t *testing.T) {
	for _, xdp := range []bool{false, true} {
		for _, offload := range []bool{false, true} {
			t.Run(fmt.Sprintf("xdp %v, offload %v", xdp, offload), func(t *testing.T) {
				r := newRig(t)
				client := r.street(t, xdp, offload)
				for _, length := range []int{20000, 60000} {
					page := testPage(length, 100)
					row := page.row()
					row.Burst = 10
					r.putRow(t, 1, row)
					each(t, func(t *testing.T, e exchange) {
						for range 5 {
							fetchPage(t, client, e.vip, page)
						}
					})
				}
				if n := checksumErrors(t, client); n != "0" {
					t.Errorf("the client's kernel counted %s wrong checksums", n)
				}
			})
		}
	}
}

// street has client and director at the ends of one link, and the programs at work.
func (r *rig) street(t *testing.T, xdp, offload bool) *netlab.Namespace {
	t.Helper()
	client, director := netlab.Make(t, "client"), netlab.Make(t, "director")
	prefix := netip.MustParsePrefix
	if err := netlab.Veth(
		netlab.End{In: client, Name: "eth0", Addrs: []netip.Prefix{prefix("192.0.2.1/24"), prefix("2001:db8:1::1/64")}},
		netlab.End{In: director, Name: "eth0", Addrs: []netip.Prefix{prefix("192.0.2.2/24"), prefix("2001:db8:1::2/64")}}, 0,
	); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(
		client.AddRoute(prefix("198.51.100.0/24"), netip.MustParseAddr("192.0.2.2")),
		client.AddRoute(prefix("2001:db8:2::/64"), netip.MustParseAddr("2001:db8:1::2")),
		client.TxChecksum("eth0", offload), director.TxChecksum("eth0", false),
	)
	if xdp {
		err = errors.Join(err, client.PassXDP("eth0"))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.attach(t, director, xdp, "eth0")
	return client
}

func fetchPage(t *testing.T, from *netlab.Namespace, vip netip.AddrPort, page testResponse) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := from.DialContext(ctx, "tcp", vip.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.net\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, page.bytes) {
		t.Fatalf("got %d bytes that are not the %d of the page: %v", len(got), len(page.bytes), err)
	}
}

// checksumErrors is InCsumErrors of /proc/net/snmp, as proc_net(5) has it.
func checksumErrors(t *testing.T, n *netlab.Namespace) (count string) {
	t.Helper()
	err := n.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		var names []string
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if fields[0] != "Tcp:" {
				continue
			}
			for i, name := range names {
				if name == "InCsumErrors" {
					count = fields[i]
				}
			}
			names = fields
		}
		return nil
	})
	if err != nil || count == "" {
		t.Fatalf("read the client's counters: %q, %v", count, err)
	}
	return count
}
