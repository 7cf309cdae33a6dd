// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maitred-lb/maitred/test/packet"
)

var (
	client4 = netip.MustParseAddrPort("192.0.2.1:40000")
	vip4    = netip.MustParseAddrPort("198.51.100.1:80")
	client6 = netip.MustParseAddrPort("[2001:db8::1]:40000")
	vip6    = netip.MustParseAddrPort("[2001:db8:1::1]:80")

	equal = cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}
)

func TestChecksumVectors(t *testing.T) {
	tests := []struct {
		name, data string
		want       uint16
	}{
		{"RFC 1071 section 3", "0001 f203 f4f5 f6f7", ^uint16(0xddf2)},
		{"IPv4 header without its checksum", "4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7", 0xb861},
		{"IPv4 header with its checksum", "4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7", 0},
		{"odd length", "0001 f203 f4f5 f6f7 01", ^uint16(0xdef2)},
		{"carry after the first fold", "ffff ffff 0001", 0xfffe},
		{"nothing", "", 0xffff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := packet.Checksum(unhex(t, tt.data)); got != tt.want {
				t.Errorf("Checksum = %#04x, want %#04x", got, tt.want)
			}
		})
	}
}

// TestBytesVectors compares with frames whose checksums tcpdump -vv calls correct.
func TestBytesVectors(t *testing.T) {
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{
			"TCP SYN over IPv4 in a VLAN",
			packet.TCP{Src: client4, Dst: vip4, Seq: 1, Flags: packet.SYN, Window: 64240, MSS: 1460,
				IP: packet.IP{DF: true, ID: 7}, Link: packet.Link{VLANs: []uint16{100}}}.Bytes(),
			"020000000002 020000000001 8100 0064 0800" +
				"4500 002c 0007 4000 4006 4e8f c0000201 c6336401" +
				"9c40 0050 00000001 00000000 6002 faf0 146e 0000 0204 05b4",
		},
		{
			"UDP over IPv6",
			packet.UDP{Src: client6, Dst: vip6, Payload: []byte("sorry")}.Bytes(),
			"020000000002 020000000001 86dd 60000000 000d 11 40" +
				"20010db8000000000000000000000001 20010db8000100000000000000000001" +
				"9c40 0050 000d a8ec 736f727279",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if want := unhex(t, tt.want); !bytes.Equal(tt.got, want) {
				t.Errorf("got  %x\nwant %x", tt.got, want)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	link := packet.Link{Src: packet.DefaultSrcMAC, Dst: packet.DefaultDstMAC}
	tagged, odd := link, link
	tagged.VLANs = []uint16{0x6064, 200}
	odd.VLANs, odd.TPIDs = []uint16{1, 2}, []uint16{packet.TPID8021Q, packet.TPID8021Q}
	odd.Trailer = []byte{0, 0, 0}
	ip4 := packet.IP{TTL: 3, TOS: 0xb8, ID: 9, DF: true, Options: []byte{7, 3, 0, 0}}
	ip6 := packet.IP{TTL: 64, FlowLabel: 0xabcde, Extensions: []packet.Extension{
		{Proto: packet.ProtoHopByHop, Body: []byte{5, 2, 0, 0, 1, 0}},
		packet.Fragment(77, 0, false),
		{Proto: packet.ProtoDestOpts, Body: make([]byte, 14)},
	}}
	tests := []struct {
		name string
		want interface{ Bytes() []byte }
	}{
		{"TCP4", packet.TCP{Src: client4, Dst: vip4, Seq: 1 << 31, Ack: 5, Flags: packet.PSH | packet.ACK, Window: 9,
			Urgent: 4, Reserved: 1, MSS: 536, Options: []byte{1, 3, 3, 7}, Payload: []byte("GET"), IP: ip4, Link: tagged}},
		{"TCP6", packet.TCP{Src: client6, Dst: vip6, Flags: packet.FIN, Payload: []byte("odd"), IP: ip6, Link: link}},
		{"UDP4", packet.UDP{Src: client4, Dst: vip4, Payload: []byte("x"), IP: ip4, Link: odd}},
		{"UDP6", packet.UDP{Src: client6, Dst: vip6, IP: ip6, Link: link}},
		{"ICMP4", packet.ICMP{Src: client4.Addr(), Dst: vip4.Addr(), Type: 8, Rest: 0x10001, IP: ip4, Link: link}},
		{"ICMP6", packet.ICMP{Src: client6.Addr(), Dst: vip6.Addr(), Type: 2, Rest: 1280, Payload: []byte("it"), IP: ip6, Link: link}},
		{"wrong checksums", packet.TCP{Src: client4, Dst: vip4, Checksum: new(uint16(1)), Link: link,
			IP: packet.IP{TTL: 64, Checksum: new(uint16(2))}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := packet.Parse(tt.want.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, layer(p), equal); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestChecksumsOK(t *testing.T) {
	wrong := new(uint16(0x1234))
	tests := []struct {
		name    string
		packet  interface{ Bytes() []byte }
		wantErr string
	}{
		{"right TCP", packet.TCP{Src: client6, Dst: vip6, Payload: []byte("abc")}, ""},
		{"wrong TCP", packet.TCP{Src: client6, Dst: vip6, Checksum: wrong}, "TCP"},
		{"wrong IPv4", packet.TCP{Src: client4, Dst: vip4, IP: packet.IP{Checksum: wrong}}, "IPv4"},
		{"wrong UDP", packet.UDP{Src: client4, Dst: vip4, Checksum: wrong}, "UDP"},
		{"no UDP checksum in IPv4", packet.UDP{Src: client4, Dst: vip4, Checksum: new(uint16)}, ""},
		{"no UDP checksum in IPv6", packet.UDP{Src: client6, Dst: vip6, Checksum: new(uint16)}, "UDP"},
		{"wrong ICMP", packet.ICMP{Src: client4.Addr(), Dst: vip4.Addr(), Checksum: wrong}, "ICMP"},
		{"wrong ICMPv6", packet.ICMP{Src: client6.Addr(), Dst: vip6.Addr(), Checksum: wrong}, "ICMP"},
		{"first fragment", packet.TCP{Src: client4, Dst: vip4, Checksum: wrong, IP: packet.IP{MF: true}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := packet.Parse(tt.packet.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			err = p.ChecksumsOK()
			switch {
			case tt.wantErr == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case tt.wantErr != "" && (!errors.Is(err, packet.ErrChecksum) || !strings.HasPrefix(err.Error(), tt.wantErr)):
				t.Errorf("error %v, want a bad checksum of %s", err, tt.wantErr)
			}
		})
	}
}

func TestLaterFragmentHasNoL4(t *testing.T) {
	tests := []struct {
		name string
		raw  packet.Raw
	}{
		{"IPv4", packet.Raw{Src: client4.Addr(), Dst: vip4.Addr(), IP: packet.IP{FragmentOffset: 1480}}},
		{"IPv6", packet.Raw{Src: client6.Addr(), Dst: vip6.Addr(),
			IP: packet.IP{Extensions: []packet.Extension{packet.Fragment(1, 1480, true)}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.raw.Proto, tt.raw.Payload = packet.ProtoTCP, []byte("middle of a segment")
			p, err := packet.Parse(tt.raw.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if p.TCP != nil || p.Proto != packet.ProtoTCP || string(p.Payload) != "middle of a segment" {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestParseTruncated(t *testing.T) {
	whole := map[string][]byte{
		"TCP4 in VLAN": packet.TCP{Src: client4, Dst: vip4, MSS: 1, Link: packet.Link{VLANs: []uint16{1}}}.Bytes(),
		"TCP6": packet.TCP{Src: client6, Dst: vip6, IP: packet.IP{Extensions: []packet.Extension{
			{Proto: packet.ProtoDestOpts, Body: make([]byte, 14)}}}}.Bytes(),
		"UDP4":       packet.UDP{Src: client4, Dst: vip4}.Bytes(),
		"ICMP4":      packet.ICMP{Src: client4.Addr(), Dst: vip4.Addr()}.Bytes(),
		"TCP offset": packet.TCP{Src: client4, Dst: vip4, DataOffset: new(uint8(6))}.Bytes(),
		"IP length":  packet.UDP{Src: client4, Dst: vip4, IP: packet.IP{Length: new(uint16(24))}}.Bytes(),
	}
	for name, b := range whole {
		t.Run(name, func(t *testing.T) {
			for n := range len(b) {
				if _, err := packet.Parse(b[:n:n]); !errors.Is(err, packet.ErrTruncated) {
					t.Errorf("first %d bytes of %d: error %v, want %v", n, len(b), err, packet.ErrTruncated)
				}
			}
		})
	}
}

func TestFlagsString(t *testing.T) {
	if got := (packet.SYN | packet.ACK).String(); got != "SYN|ACK" {
		t.Errorf("got %q", got)
	}
}

// FuzzParse demands that whatever parses can be built again, and that building
// is a fixed point of parsing.
func FuzzParse(f *testing.F) {
	f.Add(packet.TCP{Src: client4, Dst: vip4, MSS: 1460, Payload: []byte("x")}.Bytes())
	f.Add(packet.UDP{Src: client6, Dst: vip6, IP: packet.IP{Extensions: []packet.Extension{packet.Fragment(1, 0, true)}}}.Bytes())
	f.Add(packet.ICMP{Src: client4.Addr(), Dst: vip4.Addr(), Link: packet.Link{VLANs: []uint16{1, 2}}}.Bytes())
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := packet.Parse(frame)
		if err != nil {
			return
		}
		once := layer(p).Bytes()
		again, err := packet.Parse(once)
		if err != nil {
			t.Fatalf("parse of the rebuilt frame: %v\n%x", err, once)
		}
		if twice := layer(again).Bytes(); !bytes.Equal(once, twice) {
			t.Errorf("once  %x\ntwice %x", once, twice)
		}
	})
}

// layer returns the innermost struct that Parse gave.
func layer(p packet.Packet) interface{ Bytes() []byte } {
	switch {
	case p.TCP != nil:
		return *p.TCP
	case p.UDP != nil:
		return *p.UDP
	case p.ICMP != nil:
		return *p.ICMP
	default:
		return packet.Raw{Src: p.Src, Dst: p.Dst, Proto: p.Proto, Payload: p.Payload, IP: p.IP, Link: p.Link}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
