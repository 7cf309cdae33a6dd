// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

// causeOf makes a packet of a number of payload bytes, to be told of by an error.
type causeOf struct {
	name  string
	e     exchange
	bytes func(payload int, ip packet.IP, link packet.Link) []byte
	ip    packet.IP
}

func causes() []causeOf {
	var all []causeOf
	for _, e := range exchanges() {
		tcp := func(payload int, ip packet.IP, link packet.Link) []byte {
			return tcpBytes(e.client, e.vip, payload)(ip, link)
		}
		udp := func(payload int, ip packet.IP, link packet.Link) []byte {
			return udpBytes(e.client, e.vip, payload)(ip, link)
		}
		all = append(all,
			causeOf{e.name + " tcp", e, tcp, packet.IP{DF: true}},
			causeOf{e.name + " udp", e, udp, packet.IP{}},
			causeOf{e.name + " udp, DSCP", e, udp, packet.IP{TOS: 0xb8, ID: 77}},
			causeOf{e.name + " udp without checksum", e, func(payload int, ip packet.IP, link packet.Link) []byte {
				return packet.UDP{Src: e.client, Dst: e.vip, IP: ip, Link: link, Payload: testPage(payload, 0).bytes, Checksum: new(uint16)}.Bytes()
			}, packet.IP{}},
			causeOf{e.name + " tcp behind more headers", e, tcp, packet.IP{
				Options: []byte{1, 1, 1, 1, 1, 1, 1, 0}, Extensions: []packet.Extension{{Proto: packet.ProtoDestOpts, Body: make([]byte, 30)}},
			}},
		)
	}
	return all
}

// told is the error about a frame: from where that was sent, and the way back.
func (c causeOf) told(kind4, code4, kind6 uint8, rest uint32, frame []byte, link packet.Link) []byte {
	m := packet.ICMP{
		Src: c.e.vip.Addr(), Dst: c.e.client.Addr(), Type: kind4, Code: code4, Rest: rest, Payload: packet.Quote(frame),
		IP:   packet.IP{TOS: 0xc0},
		Link: packet.Link{Src: packet.DefaultDstMAC, Dst: packet.DefaultSrcMAC, VLANs: link.VLANs},
	}
	if c.e.vip.Addr().Is6() {
		m.Type, m.Code, m.IP.TOS = kind6, 0, 0
	}
	return m.Bytes()
}

// tell runs a frame through XDP, which leaves it to tc, and through tc.
func (l *lane) tell(t *testing.T, frame []byte, want result) {
	t.Helper()
	xdp, tc := l.programs()[0], l.programs()[1]
	l.expect(t, xdp, frame, result{verdict: DirectorVerdictPASS_DEFERRED, id: want.id})
	l.expect(t, tc, frame, want)
}

// TestICMPExpired: sizes below and beyond what an error has room to quote.
func TestICMPExpired(t *testing.T) {
	l := newLane(t)
	l.send(t, tunnelTo(near4, far4, DirectorTunnelTUNNEL_IPIP))
	sizes := []int{0, 1, 2, 3, 4, 63, 64, 65, 127, 128, 129, 461, 462, 463, 499, 500, 501, 519, 520, 521, 522,
		1000, 1100, 1127, 1128, 1129, 1167, 1168, 1169, 1183, 1184, 1185, 1400}
	for _, c := range causes() {
		for _, tags := range [][]uint16{nil, {7}, {7, 0x2008}} {
			t.Run(fmt.Sprintf("%s, %d tags", c.name, len(tags)), func(t *testing.T) {
				for i, size := range sizes {
					link := packet.Link{VLANs: tags, Trailer: make([]byte, i%3*5)}
					ip := c.ip
					ip.TTL = 1
					frame := c.bytes(size, ip, link)
					l.tell(t, frame, result{DirectorVerdictANSWER_EXPIRED, c.e.id, c.told(11, 0, 3, 0, frame, link)})
					if t.Failed() {
						t.Fatalf("payload of %d bytes", size)
					}
				}
			})
		}
	}
}

// TestICMPTooBig: what the tunnel takes of the way's MTU is not the client's.
func TestICMPTooBig(t *testing.T) {
	l := newLane(t)
	l.mtu = 1400
	eachTunnel(t, l, func(t *testing.T, k tunnelKind) {
		for _, c := range causes() {
			for _, tags := range [][]uint16{nil, {7}} {
				t.Run(fmt.Sprintf("%s, %d tags", c.name, len(tags)), func(t *testing.T) {
					link := packet.Link{VLANs: tags}
					l.send(t, k.server())
					frame := c.bytes(1400, c.ip, link)
					told := c.told(3, 4, 2, uint32(1400-k.overhead()), frame, link)
					l.tell(t, frame, result{DirectorVerdictANSWER_TOO_BIG, c.e.id, told})
				})
			}
		}
	})
}

// TestICMPFirstFragment: the first fragment of a datagram is told of like a whole one.
func TestICMPFirstFragment(t *testing.T) {
	l := newLane(t)
	l.send(t, tunnelTo(near4, far4, DirectorTunnelTUNNEL_IPIP))
	c := causes()[1]
	frame := c.bytes(1472, packet.IP{MF: true, ID: 5, TTL: 1}, packet.Link{})
	l.tell(t, frame, result{DirectorVerdictANSWER_EXPIRED, c.e.id, c.told(11, 0, 0, 0, frame, packet.Link{})})
}

// TestICMPOfNobody: no error goes to an address that is no host's (RFC 1122,
// 3.2.2; RFC 4443, 2.4 (e)).
func TestICMPOfNobody(t *testing.T) {
	l := newLane(t)
	l.send(t, tunnelTo(near4, far4, DirectorTunnelTUNNEL_IPIP))
	for _, a := range []string{"0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "ff02::1"} {
		t.Run(a, func(t *testing.T) {
			e := exchanges()[0]
			if netip.MustParseAddr(a).Is6() {
				e = exchanges()[1]
			}
			e.client = netip.AddrPortFrom(netip.MustParseAddr(a), 4000)
			frame := tcpBytes(e.client, e.vip, 0)(packet.IP{TTL: 1}, packet.Link{})
			l.tell(t, frame, result{verdict: DirectorVerdictDROP_LIMIT, id: e.id})
		})
	}
}

// TestICMPLimit: a flood is not answered by a flood.
func TestICMPLimit(t *testing.T) {
	l := newLane(t)
	l.send(t, tunnelTo(near4, far4, DirectorTunnelTUNNEL_IPIP))
	each(t, func(t *testing.T, e exchange) {
		frame := tcpBytes(e.client, e.vip, 0)(packet.IP{TTL: 1}, packet.Link{})
		if err := l.Resets.Put(uint32(0), make([]DirectorBudget, ebpf.MustPossibleCPU())); err != nil {
			t.Fatal(err)
		}
		l.set(t, DirectorSetting{ResetLimit: 0})
		l.tell(t, frame, result{verdict: DirectorVerdictDROP_LIMIT, id: e.id})
	})
}
