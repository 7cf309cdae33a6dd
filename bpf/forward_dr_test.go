// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// TestDirect: the first packets go to one server, with nothing changed but the
// hop and the MAC addresses, and are noted and counted.
func TestDirect(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		row := x.rows()[0]
		put(t, r.Turns, uint32(x.id), uint32(0))
		since := r.tallied(t, row)
		r.passed(t, p, x, x.first(), DirectorVerdictFORWARD_OPEN, r.toServer(x.first(), row))
		if f, table := r.flow(t, x); table != "fresh" || f.Server != uint16(row) || f.State != DirectorFlowStateFLOW_NEW {
			t.Errorf("after the first packet: %+v in %q", f, table)
		}
		r.passed(t, p, x, x.next(), DirectorVerdictFORWARD_FLOW, r.toServer(x.next(), row))
		state := DirectorFlowStateFLOW_OPEN
		if x.udp {
			state = DirectorFlowStateFLOW_UDP
		}
		if f, table := r.flow(t, x); table != "flows" || f.Server != uint16(row) || f.State != state || now(t)-f.Seen > 2 {
			t.Errorf("after the second packet: %+v in %q", f, table)
		}
		want := DirectorTally{Packets: 2, Bytes: uint64(len(x.first()) + len(x.next())), Flows: 1}
		if got := since(); got != want {
			t.Errorf("server's tally %+v, want %+v", got, want)
		}
	})
}

// TestHeadersForwarded: whatever stands around the transport stays there, but for
// tags of the link that the packet came by.
func TestHeadersForwarded(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		r.putForward(t, x, DirectorForward{}, x.rows()[0])
		for name, change := range headerCases() {
			t.Run(name, func(t *testing.T) {
				var proto packet.TCP
				change(&proto)
				proto.IP.TOS, proto.IP.TTL, proto.IP.FlowLabel, proto.IP.ID, proto.IP.DF = 0xb9, 2, 0xabcde, 77, true
				proto.Link.Trailer = proto.Link.Trailer[:min(len(proto.Link.Trailer), 200)]
				frame := x.frame(packet.SYN, 64, proto.IP, proto.Link)
				want, verdict := r.toServer(frame, x.rows()[0]), DirectorVerdictFORWARD_OPEN
				if p.name == "xdp" && len(proto.Link.VLANs) > 0 {
					want, verdict = nil, DirectorVerdictPASS_DEFERRED
				}
				r.forget(t, x)
				r.passed(t, p, x, frame, verdict, want)
			})
		}
	})
}

// TestOneArm: where the servers are on the link that the packet came by, it goes
// back there, with its tags.
func TestOneArm(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		p.from, p.forward = r.far, p.send
		for _, tags := range [][]uint16{nil, {100}, {100, 200}} {
			r.forget(t, x)
			put(t, r.Turns, uint32(x.id), uint32(1))
			frame := x.frame(packet.SYN, 10, packet.IP{}, packet.Link{VLANs: tags})
			r.passed(t, p, x, frame, DirectorVerdictFORWARD_OPEN, hopped(frame, r.farMAC, serverMAC(x.rows()[1]), true))
		}
	})
}

// TestFlowDeferred: what XDP leaves to tc goes to the server that XDP has chosen,
// and is still the flow's first packet there.
func TestFlowDeferred(t *testing.T) {
	r := newForwardRig(t)
	xdp, tc := r.programs()[0], r.programs()[1]
	for _, x := range traffics() {
		t.Run(x.name, func(t *testing.T) {
			if err := r.Devices.Delete(uint32(r.far)); err != nil {
				t.Fatal(err)
			}
			for i, row := range x.rows() {
				r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_UP})
				x, since := x.from(uint16(50000+i)), r.tallied(t, row)
				r.passed(t, xdp, x, x.first(), DirectorVerdictPASS_DEFERRED, nil)
				if f, table := r.flow(t, x); table != "fresh" || f.State != DirectorFlowStateFLOW_PICKED {
					t.Errorf("by XDP: %+v in %q", f, table)
				}
				r.passed(t, tc, x, x.first(), DirectorVerdictFORWARD_OPEN, r.toServer(x.first(), row))
				if f, table := r.flow(t, x); table != "fresh" || f.State != DirectorFlowStateFLOW_NEW || f.Server != uint16(row) {
					t.Errorf("by tc: %+v in %q", f, table)
				}
				r.passed(t, xdp, x, x.next(), DirectorVerdictPASS_DEFERRED, nil)
				r.passed(t, tc, x, x.next(), DirectorVerdictFORWARD_FLOW, r.toServer(x.next(), row))
				if got := since(); got.Flows != 1 || got.Packets != 2 {
					t.Errorf("server's tally %+v", got)
				}
			}
			r.allow(t, r.far)
		})
	}
}

// TestExpired: a packet that may go no further is no flow's beginning.
func TestExpired(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		frame := x.frame(packet.SYN, 0, packet.IP{TTL: 1}, packet.Link{})
		if p.name == "xdp" {
			r.passed(t, p, x, frame, DirectorVerdictPASS_DEFERRED, nil)
		} else if _, _, err := p.run(frame); err != nil { // icmp_test.go has what is said
			t.Fatal(err)
		}
		if f, table := r.flow(t, x); table != "" && f.State != DirectorFlowStateFLOW_PICKED {
			t.Errorf("noted: %+v in %q", f, table)
		}
	})
}

// TestTooBigByXDP: the smallest of all the limits counts, to the byte; XDP leaves
// it to tc to say so.
func TestTooBigByXDP(t *testing.T) {
	r := newForwardRig(t)
	p := r.programs()[0]
	for _, x := range traffics() {
		row := x.rows()[0]
		r.putForward(t, x, DirectorForward{}, row)
		fits := func(name string, mtu int) {
			t.Run(x.name+" "+name, func(t *testing.T) {
				r.forget(t, x)
				headers := len(x.frame(packet.ACK, 0, packet.IP{}, packet.Link{})) - 14
				just := x.frame(packet.ACK, mtu-headers, packet.IP{}, packet.Link{})
				r.passed(t, p, x, just, DirectorVerdictFORWARD_OPEN, r.toServer(just, row))
				more := x.frame(packet.ACK, mtu-headers+1, packet.IP{}, packet.Link{})
				r.passed(t, p, x, more, DirectorVerdictPASS_DEFERRED, nil)
			})
		}
		fits("link", 1500)
		r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_UP, Mtu: 1400})
		fits("server's row", 1400)
		put(t, r.PathMtus, DirectorPath{Server: words(serverAddr(row))}, DirectorPathMtu{Mtu: 1300, Until: uint32(uptime(t)) + 100})
		r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_UP, Mtu: 1400})
		fits("learned", 1300)
		put(t, r.PathMtus, DirectorPath{Server: words(serverAddr(row))}, DirectorPathMtu{Mtu: 1300, Until: uint32(uptime(t)) - 1})
		r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_UP, Mtu: 2000})
		fits("forgotten", 1500)
	}
}

// TestNoNeighbour: tc has the kernel find the MAC address, which writes it.
func TestNoNeighbour(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		row := uint32(20)
		addr := netip.MustParseAddr("10.0.0.99")
		if x.client.Addr().Is6() {
			addr = netip.MustParseAddr("2001:db8:10::99")
		}
		r.putServer(t, row, DirectorServer{Address: words(addr), State: DirectorServerStateSERVER_UP})
		r.putForward(t, x, DirectorForward{}, row)
		r.unlinked(t, p, x)
	})
}

// unlinked demands that a packet is given to the kernel to find the next hop.
func (r *forwardRig) unlinked(t *testing.T, p program, x traffic) {
	t.Helper()
	if p.name == "xdp" {
		r.passed(t, p, x, x.first(), DirectorVerdictPASS_DEFERRED, nil)
		return
	}
	r.passed(t, p, x, x.first(), DirectorVerdictFORWARD_OPEN, hopped(x.first(), packet.DefaultSrcMAC, packet.DefaultDstMAC, false))
}

// TestGateway: the next hop's MAC address, where a router is between.
func TestGateway(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		row, router := uint32(20), x.rows()[2]
		addr := netip.MustParseAddr("203.0.113.9")
		if x.client.Addr().Is6() {
			addr = netip.MustParseAddr("2001:db8:99::9")
		}
		if err := r.in.AddRoute(netip.PrefixFrom(addr, addr.BitLen()), serverAddr(router)); err != nil {
			t.Fatal(err)
		}
		r.putServer(t, row, DirectorServer{Address: words(addr), State: DirectorServerStateSERVER_UP})
		r.putForward(t, x, DirectorForward{}, row)
		r.passed(t, p, x, x.first(), DirectorVerdictFORWARD_OPEN, r.toServer(x.first(), router))
	})
}

// TestNotForwarding: where the kernel does not forward, the row of the server
// has the way, and without that there is none.
func TestNotForwarding(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		for _, key := range []string{"ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"} {
			if err := r.in.Sysctl(key, "0"); err != nil {
				t.Fatal(err)
			}
		}
		row := x.rows()[0]
		r.putForward(t, x, DirectorForward{}, row)
		r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_UP})
		r.passed(t, p, x, x.first(), DirectorVerdictDROP_NO_ROUTE, nil)
		r.forget(t, x)
		r.putServer(t, row, DirectorServer{
			State: DirectorServerStateSERVER_UP, Interface: uint32(r.far), Gateway: words(serverAddr(x.rows()[1])),
		})
		r.unlinked(t, p, x)
	})
}

// TestSegments: of what the kernel is still to cut into segments, the size of one
// counts.
func TestSegments(t *testing.T) {
	r := newForwardRig(t)
	p := r.programs()[1]
	for i, x := range traffics() {
		row := x.rows()[0]
		r.putForward(t, x, DirectorForward{}, row)
		frame := x.frame(packet.ACK, 2900, packet.IP{}, packet.Link{})
		headers := len(x.frame(packet.ACK, 0, packet.IP{}, packet.Link{})) - 14
		p.segment = uint32(1500 - headers)
		r.passed(t, p, x, frame, opened, r.toServer(frame, row))
		p.segment++
		before, since := r.counts(t), r.tallied(t, row)
		if _, _, err := p.run(frame); err != nil {
			t.Fatal(err)
		}
		if got := since(); got.Packets != 0 {
			t.Errorf("traffic %d: %s, and %d packets forwarded", i, r.since(before, r.counts(t)), got.Packets)
		}
	}
}

// TestMapped: an IPv6 packet between IPv4 addresses is of no service's traffic.
func TestMapped(t *testing.T) {
	r := newForwardRig(t)
	for _, p := range r.programs() {
		for _, x := range traffics() {
			if x.vip.Addr().Is6() {
				continue
			}
			t.Run(p.name+" "+x.name, func(t *testing.T) {
				plain := x.first()
				const link, header4 = 14, 20
				l4 := plain[link+header4:]
				frame := append([]byte{}, plain[:link]...)
				binary.BigEndian.PutUint16(frame[12:], 0x86dd)
				frame = append(frame, 0x60, 0, 0, 0, 0, byte(len(l4)), x.protocol(), 64)
				src, dst := x.client.Addr().As16(), x.vip.Addr().As16()
				frame = append(append(append(frame, src[:]...), dst[:]...), l4...)
				x.id = 0
				r.passed(t, p, x, frame, DirectorVerdictPASS_MALFORMED, nil)
			})
		}
	}
}
