// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTunnelSegments: datagrams that their sender handed over in one piece, for
// the device to cut (udp(7), UDP_SEGMENT), arrive as so many.
func TestTunnelSegments(t *testing.T) {
	const size, count = 1200, 20
	r := newRig(t)
	for _, k := range tunnelKinds() {
		for version, vip := range vips() {
			if testing.Short() && k.dest.Is6() != (version == "ipv6") {
				continue
			}
			t.Run(fmt.Sprintf("%s %s", version, k.name), func(t *testing.T) {
				p := newPath(t, r, vip, k)
				p.begin(t, works()[0])
				server, err := p.lab.Servers[0].ListenPacket(t.Context(), "udp", p.vip.String())
				if err != nil {
					t.Fatal(err)
				}
				defer server.Close()
				client, err := p.lab.Client.DialContext(t.Context(), "udp", p.vip.String())
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				raw, err := client.(syscall.Conn).SyscallConn()
				if err != nil {
					t.Fatal(err)
				}
				control := func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }
				if cerr := raw.Control(control); cerr != nil || err != nil {
					t.Fatal(cerr, err)
				}
				sent := testPage(size*count, 0).bytes
				if _, err := client.Write(sent); err != nil {
					t.Fatal(err)
				}
				if err := server.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
					t.Fatal(err)
				}
				for i := range count {
					b := make([]byte, 2*size)
					n, _, err := server.ReadFrom(b)
					if err != nil {
						t.Fatalf("datagram %d: %v", i, err)
					}
					if !bytes.Equal(b[:n], sent[i*size:(i+1)*size]) {
						t.Fatalf("datagram %d: %d bytes, or others than were sent", i, n)
					}
				}
			})
		}
	}
}
