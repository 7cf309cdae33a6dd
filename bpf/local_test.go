// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// local makes the first server of a traffic this machine itself, and the only one
// that gets new flows.
func (r *forwardRig) local(t testing.TB, x traffic, state DirectorServerState) (row uint32) {
	t.Helper()
	row = x.rows()[0]
	r.putServer(t, row, DirectorServer{Address: words(x.vip.Addr()), Method: DirectorMethodMETHOD_LOCAL, State: state})
	r.putForward(t, x, DirectorForward{}, row)
	return row
}

// stays sends a frame to this machine, by XDP first if that is the program.
func (r *forwardRig) stays(t *testing.T, p program, x traffic, frame []byte) {
	t.Helper()
	if p.name == "xdp" {
		r.passed(t, p, x, frame, DirectorVerdictPASS_LOCAL, nil)
	}
	r.passed(t, r.programs()[1], x, frame, DirectorVerdictPASS_LOCAL, nil)
}

// expectFlow demands what stands of a flow.
func (r *forwardRig) expectFlow(t *testing.T, x traffic, row uint32, state DirectorFlowState, table string) {
	t.Helper()
	if f, at := r.flow(t, x); at != table || f.State != state || f.Server != uint16(row) {
		t.Errorf("flow %+v in %q, want server %d and state %d in %q", f, at, row, state, table)
	}
}

// TestLocal: a flow to this machine is one like any other, whose packets go to the
// kernel as they came. It has begun once, whichever programs have seen its first.
func TestLocal(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		row := r.local(t, x, serverUp)
		since := r.tallied(t, row)
		if p.name == "xdp" {
			r.passed(t, p, x, x.first(), DirectorVerdictPASS_LOCAL, nil)
			r.expectFlow(t, x, row, DirectorFlowStateFLOW_PICKED, notedFresh)
		}
		r.passed(t, r.programs()[1], x, x.first(), DirectorVerdictPASS_LOCAL, nil)
		r.expectFlow(t, x, row, flowNew, notedFresh)
		if got, want := since(), (DirectorTally{Packets: 1, Bytes: uint64(len(x.first())), Flows: 1}); got != want {
			t.Errorf("after the first packet: %+v, want %+v", got, want)
		}
		r.stays(t, p, x, x.next())
		state := flowOpen
		if x.udp {
			state = flowUDP
		}
		r.expectFlow(t, x, row, state, notedFlows)
		if got, want := since(), (DirectorTally{Packets: 2, Bytes: uint64(len(x.first()) + len(x.next())), Flows: 1}); got != want {
			t.Errorf("after the second: %+v, want %+v", got, want)
		}
	})
}

// TestLocalHeaders: whatever stands around the transport, and however few hops are
// left to it: it goes no further.
func TestLocalHeaders(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		r.local(t, x, serverUp)
		for name, change := range headerCases() {
			t.Run(name, func(t *testing.T) {
				var proto packet.TCP
				change(&proto)
				r.stays(t, p, x, x.frame(packet.SYN, 64, proto.IP, proto.Link))
				r.forget(t, x)
			})
		}
		for _, ttl := range []uint8{1, 2} {
			frame := x.frame(packet.SYN, 64, packet.IP{TTL: ttl}, packet.Link{})
			if p.name == "xdp" && ttl == 1 {
				r.passed(t, p, x, frame, DirectorVerdictPASS_DEFERRED, nil)
				p = r.programs()[1]
			}
			r.stays(t, p, x, frame)
			r.forget(t, x)
		}
	})
}

// TestLocalFragments: all parts of a datagram stay.
func TestLocalFragments(t *testing.T) {
	r := newForwardRig(t)
	xdp, tc := r.programs()[0], r.programs()[1]
	for _, x := range traffics() {
		t.Run(x.name, func(t *testing.T) {
			row := r.local(t, x, serverUp)
			since := r.tallied(t, row)
			parts := fragments(x.udp, x.client, x.vip, 77, 5000)
			for i, frame := range parts {
				verdict := DirectorVerdictPASS_FRAGMENT
				if i == 0 {
					verdict = DirectorVerdictPASS_DEFERRED
				}
				r.passed(t, xdp, x, frame, verdict, nil)
				r.passed(t, tc, x, frame, DirectorVerdictPASS_LOCAL, nil)
			}
			if got := since(); got.Packets != uint64(len(parts)) || got.Flows != 1 {
				t.Errorf("tally %+v of %d parts", got, len(parts))
			}
		})
	}
}

// TestLocalDrained: what has begun here ends here when others are back, and what
// begins then begins there.
func TestLocalDrained(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		row := r.local(t, x, serverUp)
		r.stays(t, p, x, x.first())
		r.stays(t, p, x, x.next())
		other := x.rows()[1]
		r.local(t, x, DirectorServerStateSERVER_DRAIN)
		r.putForward(t, x, DirectorForward{}, other)
		r.stays(t, p, x, x.next())
		if !x.udp {
			r.stays(t, p, x, x.frame(packet.ACK|packet.FIN, 0, packet.IP{}, packet.Link{}))
			r.expectFlow(t, x, row, flowFin, notedFlows)
		}
		y := x.from(x.client.Port() + 1000)
		r.passed(t, p, y, y.first(), opened, r.toServer(y.first(), other))
		r.passed(t, p, y, y.next(), known, r.toServer(y.next(), other))
	})
}

// TestLocalErrors: an ICMP error about what this machine has sent comes to it.
func TestLocalErrors(t *testing.T) {
	r := newForwardRig(t)
	xdp, tc := r.programs()[0], r.programs()[1]
	for _, x := range traffics() {
		if x.udp {
			continue // a quote is a quote
		}
		t.Run(x.name, func(t *testing.T) {
			row := r.local(t, x, serverUp)
			r.stays(t, tc, x, x.first())
			since := r.tallied(t, row)
			for _, kind := range errorKinds(x.vip.Addr().Is6()) {
				frame := errorOf(packet.Quote(answerOf(x.exchange).Bytes()), kind[0], kind[1], 1400).Bytes()
				r.passed(t, xdp, x, frame, DirectorVerdictPASS_PROTOCOL, nil)
				r.passed(t, tc, x, frame, DirectorVerdictPASS_LOCAL, nil)
			}
			if got, want := since().Packets, uint64(len(errorKinds(x.vip.Addr().Is6()))); got != want {
				t.Errorf("%d errors in the tally, want %d", got, want)
			}
		})
	}
}

// TestLocalProbe: a check that asks this machine goes on to its own loopback.
func TestLocalProbe(t *testing.T) {
	const mark = 0x6d00
	r := newForwardRig(t)
	for _, x := range traffics() {
		t.Run(x.name, func(t *testing.T) {
			row := r.local(t, x, DirectorServerStateSERVER_DRAIN)
			put(t, r.Marks, uint32(mark), row)
			since := r.tallied(t, row)
			for _, frame := range [][]byte{x.first(), x.next(), x.first()} {
				r.passed(t, r.probe(mark), x, frame, DirectorVerdictPASS_LOCAL, nil)
			}
			if got := since(); got.Packets != 3 {
				t.Errorf("tally %+v", got)
			}
		})
	}
}
