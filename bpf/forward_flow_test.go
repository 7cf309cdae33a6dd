// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

const (
	flowNew    = DirectorFlowStateFLOW_NEW
	flowOpen   = DirectorFlowStateFLOW_OPEN
	flowFin    = DirectorFlowStateFLOW_FIN
	flowReset  = DirectorFlowStateFLOW_RESET
	flowUDP    = DirectorFlowStateFLOW_UDP
	serverUp   = DirectorServerStateSERVER_UP
	opened     = DirectorVerdictFORWARD_OPEN
	known      = DirectorVerdictFORWARD_FLOW
	syn        = packet.SYN
	ack        = packet.ACK
	fin        = packet.ACK | packet.FIN
	rst        = packet.RST
	notedFresh = "fresh"
	notedFlows = "flows"
)

// TestFlowStates walks flows of TCP packet by packet.
func TestFlowStates(t *testing.T) {
	type step struct {
		flags   packet.Flags
		verdict DirectorVerdict
		table   string
		state   DirectorFlowState
	}
	begin := []step{{syn, opened, notedFresh, flowNew}, {ack, known, notedFlows, flowOpen}}
	after := func(steps ...step) []step { return append(begin[:2:2], steps...) }
	cases := map[string][]step{
		"retransmitted SYN":  {begin[0], {syn, known, notedFresh, flowNew}, begin[1]},
		"SYN on an open one": after(step{syn, known, notedFlows, flowOpen}),
		"FIN stays": after(step{fin, known, notedFlows, flowFin}, step{ack, known, notedFlows, flowFin},
			step{fin, known, notedFlows, flowFin}),
		"SYN after FIN": after(step{fin, known, notedFlows, flowFin}, step{syn, opened, notedFlows, flowNew},
			step{ack, known, notedFlows, flowOpen}),
		"reset":           after(step{rst, known, notedFlows, flowReset}),
		"SYN after reset": after(step{rst, known, notedFlows, flowReset}, step{syn, opened, notedFlows, flowNew}),
		"forged reset":    after(step{rst, known, notedFlows, flowReset}, step{ack, known, notedFlows, flowOpen}),
		"FIN and reset":   after(step{fin, known, notedFlows, flowFin}, step{rst | ack, known, notedFlows, flowReset}),
		"reset of a SYN":  {begin[0], {rst, known, notedFresh, flowReset}, {syn, opened, notedFresh, flowNew}},
		"SYN and ACK":     {begin[0], {syn | ack, known, notedFresh, flowNew}},
		"middle":          {{ack, opened, notedFresh, flowOpen}, {ack, known, notedFlows, flowOpen}},
		"end":             {{fin, opened, notedFresh, flowFin}, {ack, known, notedFlows, flowFin}},
		"reset alone":     {{rst, opened, "", 0}},
		"no flags":        {{0, opened, notedFresh, flowOpen}},
	}
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		if x.udp {
			return // TestDirect has the two states that it knows
		}
		r.putForward(t, x, DirectorForward{}, x.rows()[0])
		for name, steps := range cases {
			r.forget(t, x)
			for i, s := range steps {
				frame := x.frame(s.flags, 0, packet.IP{}, packet.Link{})
				r.passed(t, p, x, frame, s.verdict, r.toServer(frame, x.rows()[0]))
				if f, table := r.flow(t, x); f.State != s.state || table != s.table {
					t.Errorf("%s: step %d, %v: %+v in %q, want state %d in %q", name, i, s.flags, f, table, s.state, s.table)
				}
			}
		}
	})
}

// TestPortReuse: a client that uses a port again is a new flow only when the
// flow before it is over; then it gets a server anew.
func TestPortReuse(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		if x.udp {
			return
		}
		put(t, r.Turns, uint32(x.id), uint32(0))
		rows := x.rows()
		for i, s := range []struct {
			flags packet.Flags
			row   uint32
		}{{syn, rows[0]}, {ack, rows[0]}, {syn, rows[0]}, {fin, rows[0]}, {syn, rows[1]}, {ack, rows[1]}, {rst, rows[1]}, {syn, rows[2]}} {
			frame := x.frame(s.flags, 0, packet.IP{}, packet.Link{})
			_, out, err := p.run(frame)
			if err != nil {
				t.Fatal(err)
			}
			if want := r.toServer(frame, s.row); string(out) != string(want) {
				t.Errorf("step %d: out %x\nwant %x", i, out, want)
			}
		}
	})
}

// TestIdle: a flow lives as long as its state says, and its row is used again.
func TestIdle(t *testing.T) {
	const slack = 3 // seconds that the test may take
	tests := []struct {
		name    string
		udp     bool
		steps   []packet.Flags
		timeout uint16
		table   string
	}{
		{"new", false, []packet.Flags{syn}, 30, notedFresh},
		{"open", false, []packet.Flags{syn, ack}, 900, notedFlows},
		{"fin", false, []packet.Flags{syn, ack, fin}, 120, notedFlows},
		{"reset", false, []packet.Flags{syn, ack, rst}, 10, notedFlows},
		{"new datagram", true, []packet.Flags{0}, 30, notedFresh},
		{"datagrams", true, []packet.Flags{0, 0}, 300, notedFlows},
	}
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		for _, tt := range tests {
			if tt.udp != x.udp {
				continue
			}
			run := func(flags packet.Flags) DirectorFlow {
				if _, _, err := p.run(x.frame(flags, 0, packet.IP{}, packet.Link{})); err != nil {
					t.Fatal(err)
				}
				f, _ := r.flow(t, x)
				return f
			}
			r.forget(t, x)
			var first DirectorFlow
			for _, flags := range tt.steps {
				first = run(flags)
			}
			r.age(t, x, tt.timeout-slack)
			if got := run(tt.steps[len(tt.steps)-1]); got.Server != first.Server || now(t)-got.Seen > slack {
				t.Errorf("%s: forgotten early: %+v, was %+v", tt.name, got, first)
			}
			for _, age := range []uint16{tt.timeout + slack, 40000, 65000} {
				r.forget(t, x)
				for _, flags := range tt.steps {
					first = run(flags)
				}
				r.age(t, x, age)
				_, before := r.flow(t, x)
				got := run(syn)
				if _, table := r.flow(t, x); got.Server == first.Server || got.State != flowNew || before != tt.table || table != tt.table {
					t.Errorf("%s: kept after %d s: %+v in %s, was %+v in %s", tt.name, age, got, table, first, before)
				}
			}
		}
	})
}

// TestRingSwap: a flow stays with its server, whatever ring there is now; new
// ones go by the new one.
func TestRingSwap(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		rows := x.rows()
		r.putForward(t, x, DirectorForward{}, rows[0])
		r.passed(t, p, x, x.first(), opened, r.toServer(x.first(), rows[0]))
		r.putForward(t, x, DirectorForward{}, rows[1], rows[2], rows[1], rows[2], rows[2])
		r.passed(t, p, x, x.next(), known, r.toServer(x.next(), rows[0]))
		r.putForward(t, x, DirectorForward{}) // empty: none is left that takes new flows
		r.passed(t, p, x, x.next(), known, r.toServer(x.next(), rows[0]))
		other := x.from(x.client.Port() + 100)
		r.passed(t, p, other, other.first(), DirectorVerdictPASS_NO_SERVER, nil)
		r.putForward(t, x, DirectorForward{}, rows[1], rows[2])
		r.passed(t, p, x, x.next(), known, r.toServer(x.next(), rows[0]))
		other = x.from(x.client.Port() + 200)
		r.passed(t, p, other, other.first(), opened, r.toServer(other.first(), rows[1]))
	})
}

// TestFlood: forged SYNs by the thousand wash out no flow that goes on, even if
// there is no budget for them.
func TestFlood(t *testing.T) {
	r := newForwardRig(t)
	x := traffics()[0]
	honest, forged := uint16(2000), 200000
	if testing.Short() {
		honest, forged = 500, 20000
	}
	if err := r.in.Do(func() error {
		for i := range honest {
			for _, frame := range [][]byte{x.from(i + 1).first(), x.from(i + 1).next()} {
				if _, err := r.MaitredXdp.Run(&ebpf.RunOptions{Data: frame}); err != nil {
					return err
				}
			}
		}
		random := rand.New(rand.NewPCG(1, 1))
		for range forged {
			y := x
			y.client = randomClient(random, x.client)
			if _, err := r.MaitredXdp.Run(&ebpf.RunOptions{Data: y.first()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range honest {
		if _, table := r.flow(t, x.from(i+1)); table != notedFlows {
			t.Fatalf("flow %d is in %q", i, table)
		}
	}
}

// TestFreshBudget: beyond the budget nothing is noted and nobody refused, and
// all packets of a client go to one server, in turn or not.
func TestFreshBudget(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		r.tune(t, DirectorForwardSetting{TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300})
		seen := make(map[packet.MAC]bool)
		for port := range uint16(40) {
			x := x.from(port + 1)
			var server packet.MAC
			for i, frame := range [][]byte{x.first(), x.next(), x.first(), x.next()} {
				ret, out, err := p.run(frame)
				if err != nil || ret != p.forward {
					t.Fatalf("returned %d, %v", ret, err)
				}
				if i > 0 && packet.MAC(out) != server {
					t.Errorf("port %d: packet %d goes to %x, and the first went to %x", port+1, i, out[:6], server)
				}
				server = packet.MAC(out)
			}
			if _, table := r.flow(t, x); table != "" {
				t.Errorf("port %d: noted in %q", port+1, table)
			}
			seen[server] = true
		}
		if len(seen) != servers {
			t.Errorf("40 clients went to %d servers", len(seen))
		}
	})
}

// TestFreshLimit: of what anyone can forge half of the budget is noted in a tenth
// of a second, and of the rest all of it.
func TestFreshLimit(t *testing.T) {
	r := newForwardRig(t)
	const limit, flood = 20, 3000
	r.tune(t, DirectorForwardSetting{TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300, FreshLimit: limit})
	for _, tt := range []struct {
		name  string
		x     traffic
		flags packet.Flags
		limit int
	}{
		{"SYN", traffics()[0], syn, limit / 2}, {"datagram", traffics()[1], 0, limit / 2}, {"other", traffics()[2], ack, limit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			put(t, r.FreshBudget, uint32(0), make([]DirectorBudget, ebpf.MustPossibleCPU()))
			start := uptimeNS(t)
			if err := r.in.Do(func() error {
				for i := range uint16(flood) {
					frame := tt.x.from(i+1).frame(tt.flags, 0, packet.IP{}, packet.Link{})
					if _, err := r.MaitredXdp.Run(&ebpf.RunOptions{Data: frame}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			windows := int((uptimeNS(t)-start)/100_000_000) + 2
			noted := 0
			for i := range uint16(flood) {
				if _, table := r.flow(t, tt.x.from(i+1)); table != "" {
					noted++
				}
			}
			if most := windows * tt.limit * ebpf.MustPossibleCPU(); noted < tt.limit || noted > most {
				t.Errorf("%d noted in %d windows, want %d to %d", noted, windows, tt.limit, most)
			}
		})
	}
}

// TestOtherClients: flows differ by address, port and service.
func TestOtherClients(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		rows := x.rows()
		r.putForward(t, x, DirectorForward{}, rows...)
		neighbour := x
		neighbour.client = netip.AddrPortFrom(x.client.Addr().Next(), x.client.Port())
		for i, y := range []traffic{x, x.from(x.client.Port() + 100), neighbour} {
			r.passed(t, p, y, y.first(), opened, r.toServer(y.first(), rows[i]))
		}
		for i, y := range []traffic{x, x.from(x.client.Port() + 100), neighbour} {
			r.passed(t, p, y, y.next(), known, r.toServer(y.next(), rows[i]))
		}
	})
}
