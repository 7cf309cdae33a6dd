// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

var (
	near4, far4 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.11")
	near6, far6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::11")
)

func TestTunnel(t *testing.T) {
	syn4 := packet.TCP{Src: client4, Dst: vip4, Flags: packet.SYN, Link: packet.Link{VLANs: []uint16{7}, Trailer: []byte{1, 2}}}.Bytes()
	syn6 := packet.TCP{Src: client6, Dst: vip6, Flags: packet.SYN}.Bytes()
	for _, tt := range []struct {
		name     string
		tunnel   packet.Tunnel
		proto    uint8
		overhead int
	}{
		{"IPv4 in IPv4", packet.Tunnel{Src: near4, Dst: far4, Inner: packet.Datagram(syn4)}, packet.ProtoIPIP, 20},
		{"IPv6 in IPv4", packet.Tunnel{Src: near4, Dst: far4, Inner: packet.Datagram(syn6)}, packet.ProtoIPv6, 20},
		{"IPv4 in IPv6", packet.Tunnel{Src: near6, Dst: far6, Inner: packet.Datagram(syn4)}, packet.ProtoIPIP, 40},
		{"GUE", packet.Tunnel{Src: near6, Dst: far6, Inner: packet.Datagram(syn6), GUE: &packet.GUE{SrcPort: 0xc001, DstPort: 6080}}, packet.ProtoUDP, 52},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frame := tt.tunnel.Bytes()
			if got := len(frame) - 14 - len(tt.tunnel.Inner); got != tt.overhead {
				t.Errorf("%d bytes before the packet, want %d", got, tt.overhead)
			}
			p, err := packet.Parse(frame)
			if err != nil {
				t.Fatal(err)
			}
			if p.Proto != tt.proto || p.Src != tt.tunnel.Src || p.Dst != tt.tunnel.Dst {
				t.Errorf("got protocol %d from %v to %v", p.Proto, p.Src, p.Dst)
			}
			if !bytes.HasSuffix(frame, tt.tunnel.Inner) {
				t.Errorf("the packet is not at the end of\n%x", frame)
			}
		})
	}
}

// TestGUEBytes compares with a header that was written out by hand.
func TestGUEBytes(t *testing.T) {
	inner := packet.Datagram(packet.UDP{Src: client4, Dst: vip4}.Bytes())
	frame := packet.Tunnel{Src: near4, Dst: far4, Inner: inner, GUE: &packet.GUE{SrcPort: 0xc001, DstPort: 6080}}.Bytes()
	want := unhex(t, "c001 17c0 0028 0000 00 04 0000")
	if got := frame[14+20:][:12]; !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestQuote(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame []byte
		want  int
	}{
		{"small", packet.UDP{Src: client4, Dst: vip4, Payload: make([]byte, 3), Link: packet.Link{Trailer: make([]byte, 15)}}.Bytes(), 31},
		{"large", packet.UDP{Src: client4, Dst: vip4, Payload: make([]byte, 1400)}.Bytes(), 548},
		{"IPv6, large", packet.UDP{Src: client6, Dst: vip6, Payload: make([]byte, 1400)}.Bytes(), 1232},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := packet.Quote(tt.frame); len(got) != tt.want || !bytes.HasPrefix(tt.frame[14:], got) {
				t.Errorf("%d bytes, want the first %d", len(got), tt.want)
			}
		})
	}
}
