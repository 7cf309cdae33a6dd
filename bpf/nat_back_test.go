// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/test/packet"
)

// gateways runs a test for either program and all traffics, with NAT by a gateway.
func (r *forwardRig) gateways(t *testing.T, f func(t *testing.T, p program, n nat)) {
	t.Helper()
	for _, p := range r.programs() {
		for _, x := range played() {
			t.Run(p.name+" "+x.name, func(t *testing.T) { f(t, p, r.translate(t, x, natKinds()[0])) })
		}
	}
}

// TestNATStates: what a server says moves the flow on, and tells of its health.
func TestNATStates(t *testing.T) {
	const syn, ack, fin, rst = packet.SYN, packet.ACK, packet.FIN, packet.RST
	r := newNATRig(t)
	for _, tt := range []struct {
		name            string
		says            []packet.Flags
		state           DirectorFlowState
		opened, refused uint64
	}{
		{"opens", []packet.Flags{syn | ack}, DirectorFlowStateFLOW_NEW, 1, 0},
		{"opens twice", []packet.Flags{syn | ack, syn | ack}, DirectorFlowStateFLOW_NEW, 2, 0},
		{"refuses", []packet.Flags{rst | ack}, DirectorFlowStateFLOW_RESET, 0, 1},
		{"refuses twice", []packet.Flags{rst | ack, rst}, DirectorFlowStateFLOW_RESET, 0, 1},
		{"speaks", []packet.Flags{syn | ack, ack}, DirectorFlowStateFLOW_OPEN, 1, 0},
		{"hangs up", []packet.Flags{syn | ack, ack, fin | ack}, DirectorFlowStateFLOW_FIN, 1, 0},
		{"still speaks", []packet.Flags{syn | ack, ack, fin | ack, ack}, DirectorFlowStateFLOW_FIN, 1, 0},
		{"breaks off", []packet.Flags{syn | ack, ack, rst}, DirectorFlowStateFLOW_RESET, 1, 0},
		{"goes on after all", []packet.Flags{syn | ack, ack, rst, ack}, DirectorFlowStateFLOW_OPEN, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.gateways(t, func(t *testing.T, p program, n nat) {
				if n.udp {
					return
				}
				r.out(t, p, n, talk{flags: syn}, DirectorVerdictFORWARD_OPEN)
				gave := r.gaveBack(t, n.row)
				for _, flags := range tt.says {
					r.age(t, n.traffic, 5)
					r.back(t, p, n, talk{flags: flags})
					if f, _ := r.flow(t, n.traffic); now(t)-f.Seen > 2 {
						t.Errorf("flow was last seen %d s ago", now(t)-f.Seen)
					}
				}
				if f, _ := r.flow(t, n.traffic); f.State != tt.state {
					t.Errorf("state %v, want %v", f.State, tt.state)
				}
				if got := gave(); got.Opened != tt.opened || got.Refused != tt.refused || got.BackPackets != uint64(len(tt.says)) {
					t.Errorf("tally %+v", got)
				}
			})
		})
	}
}

// rival is a second service that sends to the same server.
func (r *forwardRig) rival(t testing.TB, n nat) nat {
	t.Helper()
	n.vip = netip.AddrPortFrom(n.vip.Addr().Next(), n.vip.Port()+1)
	n.id = idUDP6 + 1 - n.id
	r.putForward(t, n.traffic, DirectorForward{}, n.row)
	return n
}

// TestNATCandidates: which service an answer is of, where several send to one
// address and port of a server.
func TestNATCandidates(t *testing.T) {
	const open, over, reset = DirectorFlowStateFLOW_OPEN, DirectorFlowStateFLOW_FIN, DirectorFlowStateFLOW_RESET
	type flow struct {
		rival, elsewhere bool // of the other service; to another server
		state            DirectorFlowState
		age              uint16
	}
	const none, first, second = 0, 1, 2
	r := newNATRig(t)
	for _, tt := range []struct {
		name  string
		backs []int // the services
		flows []flow
		want  int           // the service in whose name the client gets it
		blind time.Duration // since a flow of these services went unnoted; 0: never
	}{
		{"no service", nil, []flow{{state: open}}, none, 0},
		{"no flow", []int{first}, nil, none, 0},
		{"no flow was noted", []int{first}, nil, first, time.Second},
		{"no flow was noted, of two", []int{first, second}, nil, none, time.Second},
		{"no flow was noted long ago", []int{first}, nil, none, 8 * time.Second},
		{"flow", []int{first}, []flow{{state: open}}, first, 0},
		{"old flow", []int{first}, []flow{{state: open, age: 901}}, none, 0},
		{"ended flow", []int{first}, []flow{{state: reset, age: 9}}, first, 0},
		{"flow to another server", []int{first}, []flow{{state: open, elsewhere: true}}, none, 0},
		{"flow of another service", []int{second}, []flow{{state: open}}, second, time.Second},
		{"two, no flow", []int{second, first}, nil, none, 0},
		{"two, flow", []int{second, first}, []flow{{state: open}}, first, 0},
		{"two, flow, the other way round", []int{first, second}, []flow{{state: open}}, first, 0},
		{"two, old flow", []int{second, first}, []flow{{state: open, age: 901}}, none, 0},
		{"two, flow to another server", []int{second, first}, []flow{{state: open, elsewhere: true}}, none, 0},
		{"two flows, one elsewhere", []int{second, first}, []flow{{state: open}, {rival: true, state: open, elsewhere: true}}, first, 0},
		{"two flows, one is over", []int{second, first}, []flow{{state: open}, {rival: true, state: over}}, first, 0},
		{"two flows, both over", []int{second, first}, []flow{{state: over}, {rival: true, state: over}}, first, 0},
		{"sixteen", []int{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, second, first}, []flow{{state: open}}, first, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.gateways(t, func(t *testing.T, p program, n nat) {
				rival := r.rival(t, n)
				ids := []uint16{first: uint16(n.id), second: uint16(rival.id), 9: 90}
				var services []uint16
				for _, i := range tt.backs {
					services = append(services, ids[i])
				}
				r.putBacks(t, n, services...)
				for _, id := range services {
					at := uint64(0)
					if tt.blind > 0 {
						at = uint64(uptimeNS(t) - tt.blind.Nanoseconds())
					}
					put(t, r.Unnoted, uint32(id), at)
				}
				for _, f := range tt.flows {
					key, server := n.key(), uint16(n.row)
					if f.rival {
						key = rival.key()
					}
					if f.elsewhere {
						server++
					}
					put(t, r.Flows, key, DirectorFlow{Server: server, State: f.state, Seen: now(t) - f.age})
				}
				answer := talk{flags: packet.ACK, payload: bytesOf(9)}
				switch tt.want {
				case first:
					r.back(t, p, n, answer)
				case second:
					r.back(t, p, rival, answer)
				default:
					r.untouched(t, p, n, answer)
				}
			})
		})
	}
}

// TestNATOthers: what a server sends from another port, or by another protocol,
// is its own traffic.
func TestNATOthers(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		for name, change := range map[string]func(*nat){
			"port":     func(n *nat) { n.server = netip.AddrPortFrom(n.server.Addr(), n.server.Port()+1) },
			"address":  func(n *nat) { n.server = netip.AddrPortFrom(n.server.Addr().Next(), n.server.Port()) },
			"protocol": func(n *nat) { n.udp = !n.udp },
		} {
			t.Run(name, func(t *testing.T) {
				other := n
				change(&other)
				r.untouched(t, p, other, talk{flags: packet.ACK})
			})
		}
		r.back(t, p, n, talk{flags: packet.SYN | packet.ACK})
	})
}

// TestNATWayBack: the client is sought with each packet.
func TestNATWayBack(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		answer := talk{udp: n.udp, flags: packet.ACK, payload: bytesOf(9)}
		frame := answer.between(n.server, n.source)
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		t.Run("expired", func(t *testing.T) {
			last := answer
			last.ip.TTL = 1
			r.stopped(t, p, n, last.between(n.server, n.source), DirectorVerdictANSWER_EXPIRED, [2]uint8{11, 3}, 0)
		})
		t.Run("too big", func(t *testing.T) {
			headers := len(answer.between(n.server, n.source)) - len(answer.payload) - 14
			big := answer
			big.payload = bytesOf(1500 - headers)
			r.back(t, p, n, big)
			big.payload = bytesOf(1501 - headers)
			r.stopped(t, p, n, big.between(n.server, n.source), DirectorVerdictANSWER_TOO_BIG, [2]uint8{3, 2}, 1500)
		})
		t.Run("not allowed", func(t *testing.T) {
			if err := r.Devices.Delete(uint32(r.near)); err != nil {
				t.Fatal(err)
			}
			defer r.allow(t, r.near)
			if p.name == "xdp" {
				r.deferred(t, r.far, n, frame)
				return
			}
			r.back(t, p, n, answer)
		})
	})
}

// stopped runs a server's frame that can't go on as it is. tc says so to the server,
// about what it has sent and in the name of whom it has sent it to; XDP leaves it
// to tc. kinds are the types of ICMP and ICMPv6.
func (r *forwardRig) stopped(t *testing.T, p program, n nat, frame []byte, v DirectorVerdict, kinds [2]uint8, mtu uint32) {
	t.Helper()
	if p.name == "xdp" {
		r.deferred(t, r.far, n, frame)
		return
	}
	const needFragment, control = 4, 0xc0
	m := packet.ICMP{
		Src: n.source.Addr(), Dst: n.server.Addr(), Type: kinds[0], Rest: mtu, Payload: packet.Quote(frame),
		IP: packet.IP{TOS: control}, Link: packet.Link{Src: packet.DefaultDstMAC, Dst: packet.DefaultSrcMAC},
	}
	if mtu != 0 {
		m.Code = needFragment
	}
	if n.vip.Addr().Is6() {
		m.Type, m.Code, m.IP.TOS = kinds[1], 0, 0
	}
	p.from = r.far
	before := r.counts(t)
	ret, out, err := p.run(frame)
	if err != nil || ret != p.expected(v) {
		t.Fatalf("returned %d, want %d: %v", ret, p.expected(v), err)
	}
	if got, want := r.since(before, r.counts(t)), counted(n.id, r.names[v], 1, uint64(len(frame))); got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
	if got := drawn(out, m.Bytes()); !bytes.Equal(got, m.Bytes()) {
		t.Errorf("answer is wrong:\n got  %x\n want %x", got, m.Bytes())
	}
}

// TestNATNoNeighbour: tc has the kernel find the client.
func TestNATNoNeighbour(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		n.client = netip.AddrPortFrom(n.client.Addr().Next(), n.client.Port())
		if n.source.Port() != ownPort {
			n.source = n.client
		}
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		answer := talk{udp: n.udp, flags: packet.SYN | packet.ACK}
		if p.name == "xdp" {
			r.deferred(t, r.far, n, answer.between(n.server, n.source))
			return
		}
		p.from = r.far
		r.passed(t, p, n.traffic, answer.between(n.server, n.source), DirectorVerdictFORWARD_BACK,
			hopped(answer.between(n.vip, n.client), packet.DefaultSrcMAC, packet.DefaultDstMAC, false))
	})
}

// TestNATCheck: the answer to a check that took the way of the data goes to this
// host by the loopback interface; one to a check that did not is left alone.
func TestNATCheck(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		own := netip.MustParseAddr("192.0.2.254")
		if n.client.Addr().Is6() {
			own = netip.MustParseAddr("2001:db8:1::fe")
		}
		n.client = netip.AddrPortFrom(own, n.client.Port())
		if n.source.Port() != ownPort {
			n.source = n.client
		}
		answer := talk{udp: n.udp, flags: packet.SYN | packet.ACK}
		frame := answer.between(n.server, n.source)
		set := natSetting(1, ownPort, ownPort)
		set.Probes = 1
		r.tune(t, set)
		r.untouched(t, p, n, answer)
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		if p.name == "xdp" {
			r.deferred(t, r.far, n, frame)
		} else {
			p.from = r.far
			gave := r.gaveBack(t, n.row)
			want := hopped(answer.between(n.vip, n.client), packet.DefaultSrcMAC, packet.MAC{}, false)
			r.passed(t, p, n.traffic, frame, DirectorVerdictFORWARD_PROBE, want)
			if got := gave(); got.BackPackets != 1 {
				t.Errorf("tally %+v", got)
			}
		}
		set.Probes = 0
		r.tune(t, set)
		r.untouched(t, p, n, answer)
	})
}

// TestNATOneArm: client and server by one link: XDP sends where it came from.
func TestNATOneArm(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		mac := packet.MAC{2, 0, 0, 0, 0xd, 1}
		n.client = netip.AddrPortFrom(n.server.Addr().Prev(), n.client.Port())
		if n.source.Port() != ownPort {
			n.source = n.client
		}
		r.neighbour(t, r.far, n.client.Addr(), mac)
		p.from, p.forward = r.far, p.send
		for _, tags := range [][]uint16{nil, {100}, {100, 200}} {
			k := talk{udp: n.udp, flags: packet.ACK, link: packet.Link{VLANs: tags}}
			r.forget(t, n.traffic)
			r.passed(t, p, n.traffic, k.between(n.client, n.vip), DirectorVerdictFORWARD_OPEN,
				hopped(k.between(n.source, n.server), r.farMAC, serverMAC(n.row), true))
			r.passed(t, p, n.traffic, k.between(n.server, n.source), DirectorVerdictFORWARD_BACK,
				hopped(k.between(n.vip, n.client), r.farMAC, mac, true))
		}
	})
}
