// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

var (
	router4 = netip.MustParseAddr("203.0.113.9")
	router6 = netip.MustParseAddr("2001:db8:9::9")
)

// errorOf is an ICMP error about a packet, to whoever sent that.
func errorOf(quote []byte, kind, code uint8, rest uint32) packet.ICMP {
	m := packet.ICMP{Src: router4, Type: kind, Code: code, Rest: rest, Payload: quote, IP: packet.IP{TTL: 60}}
	if quote[0]>>4 == 4 {
		m.Dst = netip.AddrFrom4([4]byte(quote[12:16]))
	} else {
		m.Src, m.Dst = router6, netip.AddrFrom16([16]byte(quote[8:24]))
	}
	return m
}

// answerOf is a packet of a server's to the client.
func answerOf(e exchange) packet.TCP {
	return packet.TCP{Src: e.vip, Dst: e.client, Flags: packet.ACK, Seq: 99, Payload: testPage(600, 0).bytes, IP: packet.IP{DF: true}}
}

// errorKinds are all types of error, by IP version.
func errorKinds(v6 bool) [][2]uint8 {
	if v6 {
		return [][2]uint8{{1, 0}, {1, 4}, {2, 0}, {3, 0}, {3, 1}, {4, 0}, {4, 2}}
	}
	return [][2]uint8{{3, 0}, {3, 1}, {3, 3}, {3, 4}, {3, 13}, {11, 0}, {11, 1}, {12, 0}}
}

// quotesOf are the forms in which a packet is quoted.
func quotesOf(e exchange) map[string][]byte {
	tcp := answerOf(e)
	least := 20
	if e.vip.Addr().Is6() {
		least = 40
	}
	whole := packet.Datagram(tcp.Bytes())
	tcp.IP.Options = []byte{1, 1, 1, 1, 1, 1, 1, 0}
	tcp.IP.Extensions = []packet.Extension{{Proto: packet.ProtoDestOpts, Body: make([]byte, 14)}, packet.Fragment(7, 0, false)}
	first := answerOf(e)
	first.IP.MF, first.IP.Extensions = true, []packet.Extension{packet.Fragment(7, 0, true)}
	udp := packet.UDP{Src: e.vip, Dst: e.client, Payload: make([]byte, 30)}
	return map[string][]byte{
		"tcp":                   packet.Quote(answerOf(e).Bytes()),
		"tcp, 8 bytes":          whole[:least+8],
		"tcp, more headers":     packet.Quote(tcp.Bytes()),
		"tcp, first fragment":   packet.Quote(first.Bytes()),
		"udp":                   packet.Quote(udp.Bytes()),
		"udp, 8 bytes of it":    packet.Quote(udp.Bytes())[:least+8],
		"tcp, no multiple of 4": whole[:least+21],
	}
}

// TestICMPToServer: an error about what a server sent to a client comes to that
// server as it is, by its method; XDP leaves it to tc.
func TestICMPToServer(t *testing.T) {
	l := newLane(t)
	xdp, tc := l.programs()[0], l.programs()[1]
	each(t, func(t *testing.T, e exchange) {
		for name, quote := range quotesOf(e) {
			for _, kind := range errorKinds(e.vip.Addr().Is6()) {
				m := errorOf(quote, kind[0], kind[1], 1400)
				m.Link.VLANs = []uint16{7}
				t.Run(fmt.Sprintf("dr, %s, %d/%d", name, kind[0], kind[1]), func(t *testing.T) {
					l.send(t, DirectorServer{Address: words(far4), Method: DirectorMethodMETHOD_DR})
					l.expect(t, xdp, m.Bytes(), result{verdict: DirectorVerdictPASS_PROTOCOL})
					want := m
					want.IP.TTL--
					want.Link.Src, want.Link.Dst = laneSource, laneTarget
					l.expect(t, tc, m.Bytes(), result{DirectorVerdictFORWARD_ERROR, e.id, want.Bytes()})
				})
			}
		}
	})
}

// TestICMPToTunnel: by the tunnel, too, on the path of the client's own packets.
func TestICMPToTunnel(t *testing.T) {
	l := newLane(t)
	eachTunnel(t, l, func(t *testing.T, k tunnelKind) {
		each(t, func(t *testing.T, e exchange) {
			m := errorOf(packet.Quote(answerOf(e).Bytes()), 3, 1, 0)
			inner := m
			inner.IP.TTL--
			want := k.wrap(packet.Datagram(inner.Bytes()), e.client, packet.IP{DF: e.vip.Addr().Is6()}, packet.Link{})
			l.expect(t, l.programs()[1], m.Bytes(), result{DirectorVerdictFORWARD_ERROR, e.id, want})
		})
	})
}

// TestICMPFlow: a flow that is known decides, whatever the ring says now; and
// only such flows are there while the page is shown.
func TestICMPFlow(t *testing.T) {
	const other = 2
	l := newLane(t)
	tc := l.programs()[1]
	otherMAC := packet.MAC{2, 0, 0, 0, 0, 0x78}
	put(t, l.Servers, uint32(other), DirectorServer{Address: words(far6), State: DirectorServerStateSERVER_DRAIN})
	var ways []DirectorRoute
	if err := l.Routes.Lookup(uint32(other), &ways); err != nil {
		t.Fatal(err)
	}
	l.mtu = 1500
	put(t, l.Pulse, uint32(0), DirectorHeartbeat{Absent: 1})
	each(t, func(t *testing.T, e exchange) {
		m := errorOf(packet.Quote(answerOf(e).Bytes()), 3, 1, 0)
		to := func(mac packet.MAC) result {
			want := m
			want.IP.TTL--
			want.Link.Src, want.Link.Dst = laneSource, mac
			return result{DirectorVerdictFORWARD_ERROR, e.id, want.Bytes()}
		}
		passed := result{verdict: DirectorVerdictPASS_PROTOCOL}
		for _, s := range []DirectorService{
			{Mode: DirectorServiceModeMODE_SERVE}, {Mode: DirectorServiceModeMODE_LINGER}, {Mode: DirectorServiceModeMODE_SORRY},
			{Mode: DirectorServiceModeMODE_SORRY, Absence: pass}, // which lingers then
		} {
			mode := s.Mode
			l.serve(t, s)
			l.send(t, DirectorServer{Address: words(far4)})
			if err := l.Routes.Lookup(uint32(laneServer), &ways); err != nil {
				t.Fatal(err)
			}
			for i := range ways {
				ways[i].Target = otherMAC
			}
			put(t, l.Routes, uint32(other), ways)
			t.Run(fmt.Sprintf("mode %d, absence %d", mode, s.Absence), func(t *testing.T) {
				unknown := to(laneTarget)
				if mode == DirectorServiceModeMODE_SORRY && s.Absence == keep {
					unknown = passed
				}
				l.expect(t, tc, m.Bytes(), unknown)
				key := DirectorFlowKey{Client: words(e.client.Addr()), Port: wirePort(e.client.Port()), Service: uint16(e.id)}
				put(t, l.Fresh, key, DirectorFlow{Server: other, Seen: now(t)})
				l.expect(t, tc, m.Bytes(), to(otherMAC))
				put(t, l.Flows, key, DirectorFlow{Server: laneServer, Seen: now(t)})
				l.expect(t, tc, m.Bytes(), to(laneTarget))
				put(t, l.Flows, key, DirectorFlow{Server: 3, Seen: now(t)})
				l.expect(t, tc, m.Bytes(), passed) // nobody's row
				clearMap(t, l.Flows)
				clearMap(t, l.Fresh)
			})
		}
		l.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SERVE})
	})
}

// TestICMPOfOthers: what is no error, or concerns no flow, is not touched.
func TestICMPOfOthers(t *testing.T) {
	l := newLane(t)
	l.send(t, DirectorServer{Address: words(far4), Method: DirectorMethodMETHOD_DR})
	each(t, func(t *testing.T, e exchange) {
		quote := packet.Quote(answerOf(e).Bytes())
		header := 20
		unreachable := uint8(3)
		others := []uint8{0, 4, 5, 8, 9, 13, 14, 255} // RFC 792 and others
		if e.vip.Addr().Is6() {
			header, unreachable, others = 40, 1, []uint8{0, 5, 100, 127, 128, 129, 133, 135, 136, 137, 255}
		}
		cases := map[string]packet.ICMP{}
		for _, kind := range others {
			cases[fmt.Sprintf("type %d", kind)] = errorOf(quote, kind, 0, 0)
		}
		edited := func(name string, edit func(q []byte) []byte) {
			m := errorOf(quote, unreachable, 1, 0)
			m.Payload = edit(append([]byte(nil), quote...))
			cases[name] = m
		}
		edited("no quote", func([]byte) []byte { return nil })
		edited("a header", func(q []byte) []byte { return q[:header] })
		edited("a byte too few", func(q []byte) []byte { return q[:header+7] })
		edited("another version", func(q []byte) []byte { q[0] ^= 0x20; return q })
		edited("another port", func(q []byte) []byte { q[header+1]++; return q })
		edited("another protocol", func(q []byte) []byte { q[map[int]int{20: 9, 40: 6}[header]] = 132; return q })
		edited("another sender", func(q []byte) []byte { q[map[int]int{20: 15, 40: 23}[header]]++; return q })
		later := packet.Raw{Src: e.vip.Addr(), Dst: e.client.Addr(), Proto: packet.ProtoTCP, Payload: quote[header:],
			IP: packet.IP{FragmentOffset: 80, Extensions: []packet.Extension{packet.Fragment(7, 80, true)}}}
		edited("a later fragment", func([]byte) []byte { return packet.Quote(later.Bytes()) })
		cut := errorOf(quote, unreachable, 1, 0)
		cut.IP.MF, cut.IP.Extensions = true, []packet.Extension{packet.Fragment(8, 0, true)}
		cases["in fragments"] = cut
		elsewhere := errorOf(quote, unreachable, 1, 0)
		elsewhere.Dst = e.client.Addr()
		cases["to somebody else"] = elsewhere
		for name, m := range cases {
			t.Run(name, func(t *testing.T) {
				for _, p := range l.programs() {
					l.expect(t, p, m.Bytes(), result{verdict: DirectorVerdictPASS_PROTOCOL})
				}
			})
		}
	})
}

// TestICMPExpiredError: an error whose own time is over is lost without another
// (RFC 1122, 3.2.2).
func TestICMPExpiredError(t *testing.T) {
	l := newLane(t)
	l.send(t, DirectorServer{Address: words(far4), Method: DirectorMethodMETHOD_DR})
	each(t, func(t *testing.T, e exchange) {
		m := errorOf(packet.Quote(answerOf(e).Bytes()), 3, 1, 0)
		m.IP.TTL = 1
		l.expect(t, l.programs()[1], m.Bytes(), result{verdict: DirectorVerdictDROP_NO_ROUTE, id: e.id})
	})
}

// mtuCase is an error about a packet in a tunnel.
type mtuCase struct {
	name        string
	known       DirectorPathMtu // before; its time counts from now
	told        uint32
	want, want6 uint32 // 0: nothing is known then
}

// TestICMPLearnsMTU: a router between the director and a server behind a tunnel
// lets know what it can carry.
func TestICMPLearnsMTU(t *testing.T) {
	l := newLane(t)
	const minutes = 600
	for _, k := range tunnelKinds() {
		l.send(t, k.server())
		for _, e := range exchanges() {
			for _, c := range []mtuCase{
				{name: "first", told: 1400, want: 1400, want6: 1400},
				{name: "narrower", known: DirectorPathMtu{Mtu: 1450, Until: 5}, told: 1400, want: 1400, want6: 1400},
				{name: "the same again", known: DirectorPathMtu{Mtu: 1400, Until: 5}, told: 1400, want: 1400, want6: 1400},
				{name: "after an old one", known: DirectorPathMtu{Mtu: 1300}, told: 1400, want: 1400, want6: 1400},
				{name: "a lie", told: 68, want: 552, want6: 1280},
				{name: "of an old router", told: 0, want: 552, want6: 1280},
			} {
				t.Run(k.name+"/"+e.name+"/"+c.name, func(t *testing.T) {
					l.know(t, k, c.known)
					tunnelled := k.wrap(packet.Datagram(answerOf(e).Bytes()), e.client, packet.IP{DF: true}, packet.Link{})
					m := errorOf(packet.Quote(tunnelled), 3, 4, c.told)
					want := c.want
					if k.dest.Is6() {
						m.Type, m.Code, want = 2, 0, c.want6
					}
					before := uint32(uptime(t))
					l.expect(t, l.programs()[1], m.Bytes(), result{verdict: DirectorVerdictPASS_PROTOCOL})
					got := l.known(t, k)
					if got.Mtu != want || got.Until < before+minutes || got.Until > uint32(uptime(t))+minutes {
						t.Errorf("at %d: known %+v, want %d for ten minutes", before, got, want)
					}
				})
			}
		}
	}
}

// TestICMPLearnsNoMTU: nobody else makes a way narrower, nor anybody wider.
func TestICMPLearnsNoMTU(t *testing.T) {
	l := newLane(t)
	for _, k := range tunnelKinds() {
		inner := packet.Datagram(answerOf(exchanges()[0]).Bytes())
		quote := packet.Quote(k.wrap(inner, client4, packet.IP{DF: true}, packet.Link{}))
		kind, code, other := uint8(3), uint8(4), uint8(1)
		if k.dest.Is6() {
			kind, code, other = 2, 0, 1
		}
		forged := k
		for _, e := range exchanges() {
			if e.vip.Addr().Is6() == k.dest.Is6() {
				forged.source = e.vip.Addr()
			}
		}
		strange := k
		strange.dest = strange.dest.Next()
		tcp := packet.TCP{Src: netip.AddrPortFrom(k.source, 1), Dst: netip.AddrPortFrom(k.dest, 2)}
		elsewhere := errorOf(quote, kind, code, 1400)
		elsewhere.Dst = elsewhere.Dst.Next()
		known := DirectorPathMtu{Mtu: 1390, Until: 5}
		for name, m := range map[string]packet.ICMP{
			"wider":                       errorOf(quote, kind, code, 1400),
			"of another kind":             errorOf(quote, kind, other, 1300),
			"to another address":          elsewhere,
			"about a packet of no tunnel": errorOf(packet.Quote(tcp.Bytes()), kind, code, 1300),
			"to a service's address":      errorOf(packet.Quote(forged.wrap(inner, client4, packet.IP{DF: true}, packet.Link{})), kind, code, 1300),
			"about a tunnel of others":    errorOf(packet.Quote(strange.wrap(inner, client4, packet.IP{}, packet.Link{})), kind, code, 1300),
		} {
			if name == "of another kind" && k.dest.Is6() {
				m.Type = 1
			}
			t.Run(k.name+"/"+name, func(t *testing.T) {
				want := l.know(t, k, known)
				l.expect(t, l.programs()[1], m.Bytes(), result{verdict: DirectorVerdictPASS_PROTOCOL})
				if got := l.known(t, k); got != want {
					t.Errorf("known %+v, want %+v", got, want)
				}
				if got := l.known(t, strange); got != (DirectorPathMtu{}) {
					t.Errorf("known of a stranger: %+v", got)
				}
			})
		}
	}
}

// know marks the tunnel's end as a server's, and gives it an MTU that is known
// for a number of seconds from now, or else none.
func (l *lane) know(t *testing.T, k tunnelKind, m DirectorPathMtu) DirectorPathMtu {
	t.Helper()
	put(t, l.Backs, DirectorEndpoint{Address: words(k.dest), Protocol: packet.ProtoIPIP}, DirectorBack{})
	if err := l.PathMtus.Delete(k.path()); err != nil && m.Mtu == 0 && l.known(t, k).Mtu != 0 {
		t.Fatal(err)
	}
	if m.Mtu != 0 {
		m.Until += uint32(uptime(t))
		put(t, l.PathMtus, k.path(), m)
	}
	return m
}

// path names the way by the ends of the tunnel.
func (k tunnelKind) path() DirectorPath {
	return DirectorPath{Source: words(k.source), Server: words(k.dest)}
}

func (l *lane) known(t *testing.T, k tunnelKind) (m DirectorPathMtu) {
	t.Helper()
	_ = l.PathMtus.Lookup(k.path(), &m) // zero if there is none
	return m
}
