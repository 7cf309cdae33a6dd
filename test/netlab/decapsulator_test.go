// SPDX-License-Identifier: Apache-2.0

package netlab_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// inner is a datagram to a service address without its Ethernet header.
func inner(lab *netlab.Lab, vip netip.Addr, word string) []byte {
	from := lab.Client.IPv4
	if vip.Is6() {
		from = lab.Client.IPv6
	}
	frame := packet.UDP{
		Src: netip.AddrPortFrom(from, 4000), Dst: netip.AddrPortFrom(vip, 9), Payload: []byte(word),
	}.Bytes()
	return frame[14:]
}

func protocolOf(ip []byte) uint8 {
	if ip[0]>>4 == 4 {
		return packet.ProtoIPIP
	}
	return packet.ProtoIPv6
}

// TestTunnelEnd sends packets in outer headers, right and wrong, to a server.
func TestTunnelEnd(t *testing.T) {
	kernel.RequireBPF(t)
	wrong := uint16(1)
	for name, kind := range map[string]netlab.Tunnel{"IPIP": netlab.IPIP, "GUE": netlab.GUE} {
		lab := netlab.Director(t, netlab.Options{Servers: 1, Method: netlab.TUN, Tunnel: kind})
		server := lab.Servers[0]
		outer := map[string][2]netip.Addr{"4": {server.IPv4.Prev(), server.IPv4}, "6": {server.IPv6.Prev(), server.IPv6}}
		for in, vip := range map[string]netip.Addr{"4": lab.VIP4, "6": lab.VIP6} {
			for out, ends := range outer {
				ipip := packet.Raw{Src: ends[0], Dst: ends[1]}
				gue := packet.UDP{Src: netip.AddrPortFrom(ends[0], 50000), Dst: netip.AddrPortFrom(ends[1], netlab.GUEPort), Checksum: new(uint16)}
				bad := ipip
				bad.IP.Checksum = &wrong
				for _, tt := range []struct {
					name  string
					frame func(ip []byte) []byte
					taken bool
				}{
					{"bare", func(ip []byte) []byte { return bare(ip) }, false},
					{"IPIP", func(ip []byte) []byte { return with(ipip, ip) }, kind == netlab.IPIP},
					{"GUE", func(ip []byte) []byte {
						gue.Payload = append([]byte{0, protocolOf(ip), 0, 0}, ip...)
						return gue.Bytes()
					}, kind == netlab.GUE},
					{"cut short", func(ip []byte) []byte { f := with(ipip, ip); return f[:len(f)-1] }, false},
					{"with a bad sum", func(ip []byte) []byte { return with(bad, ip) }, kind == netlab.IPIP && out == "6"},
				} {
					t.Run(fmt.Sprintf("%s server, IPv%s in IPv%s, %s", name, in, out, tt.name), func(t *testing.T) {
						got := arrives(t, lab, vip, func(word string) []byte { return tt.frame(inner(lab, vip, word)) })
						if got != tt.taken {
							t.Errorf("taken in: %t, want %t", got, tt.taken)
						}
					})
				}
			}
		}
	}
}

func with(outer packet.Raw, ip []byte) []byte {
	outer.Proto, outer.Payload = protocolOf(ip), ip
	return outer.Bytes()
}

func bare(ip []byte) []byte {
	if ip[0]>>4 == 4 {
		return append([]byte{2: 0, 11: 0, 12: 8, 13: 0}, ip...)
	}
	return append([]byte{11: 0, 12: 0x86, 13: 0xdd}, ip...)
}

// arrives sends a frame from the director's device to the server's MAC address,
// and behind it the same word in a way that must arrive, to know when to stop.
func arrives(t *testing.T, lab *netlab.Lab, vip netip.Addr, frame func(word string) []byte) bool {
	t.Helper()
	server := lab.Servers[0]
	mine := server.IPv4
	if vip.Is6() {
		mine = server.IPv6
	}
	words := make(chan string, 8)
	for _, a := range []netip.Addr{vip, mine} {
		c, err := server.ListenPacket(t.Context(), "udp", netip.AddrPortFrom(a, 9).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go listen(c, words)
	}
	mac, err := server.MAC("eth0")
	if err != nil {
		t.Fatal(err)
	}
	f := frame("tunnelled")
	copy(f, mac)
	inject(t, lab.Director.Namespace, "srv1", f)
	last, err := lab.Director.DialContext(t.Context(), "udp", netip.AddrPortFrom(mine, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	taken := false
	for deadline := time.After(5 * time.Second); ; {
		if _, err := last.Write([]byte("last")); err != nil {
			t.Fatal(err)
		}
		select {
		case w := <-words:
			if w == "last" {
				return taken
			}
			taken = true
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal("nothing arrives at all")
		}
	}
}

func listen(c net.PacketConn, words chan<- string) {
	b := make([]byte, 100)
	for {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		words <- string(bytes.Clone(b[:n]))
	}
}

func inject(t *testing.T, n *netlab.Namespace, dev string, frame []byte) {
	t.Helper()
	err := n.Do(func() error {
		link, err := n.Netlink().LinkByName(dev)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
	})
	if err != nil {
		t.Fatal(err)
	}
}
