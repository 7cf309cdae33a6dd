// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// fate is what a packet of a flow brings about.
type fate int

const (
	stays    fate = iota // goes on to its server
	moves                // goes to another, and its flow with it
	loses                // moves, and is counted as lost
	isReset              // the client gets a reset; lost
	vanishes             // the client's own reset is dropped; lost
)

// TestServerStates: what becomes of a flow, by the state of its server and by
// what its service says.
func TestServerStates(t *testing.T) {
	const (
		none, up, drain, down = DirectorServerStateSERVER_NONE, serverUp, DirectorServerStateSERVER_DRAIN, DirectorServerStateSERVER_DOWN
		toReset, toRepick     = DirectorDownFateDOWN_RESET, DirectorDownFateDOWN_REPICK
		toKeep                = DirectorDownFateDOWN_KEEP
	)
	tests := []struct {
		name                    string
		state                   DirectorServerState
		down                    DirectorDownFate
		syn, tcp, rst, datagram fate
	}{
		{"up", up, toReset, stays, stays, stays, stays},
		{"drain", drain, toReset, moves, stays, stays, stays},
		{"down, reset", down, toReset, loses, isReset, vanishes, loses},
		{"down, repick", down, toRepick, loses, loses, loses, loses},
		{"down, keep", down, toKeep, loses, stays, stays, stays},
		{"gone, reset", none, toReset, loses, loses, loses, loses},
		{"gone, keep", none, toKeep, loses, loses, loses, loses},
	}
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		rows := x.rows()
		for _, tt := range tests {
			packets := map[packet.Flags]fate{syn: tt.syn, ack: tt.tcp, fin: tt.tcp, rst: tt.rst}
			if x.udp {
				packets = map[packet.Flags]fate{0: tt.datagram}
			}
			for flags, want := range packets {
				r.forget(t, x)
				r.putServer(t, rows[0], DirectorServer{State: up})
				r.putForward(t, x, DirectorForward{Down: tt.down}, rows[0])
				for _, frame := range [][]byte{x.first(), x.next()} {
					if _, _, err := p.run(frame); err != nil {
						t.Fatal(err)
					}
				}
				r.putServer(t, rows[0], DirectorServer{State: tt.state})
				r.putForward(t, x, DirectorForward{Down: tt.down}, rows[1])
				t.Run(fmt.Sprintf("%s, %v", tt.name, flags), func(t *testing.T) {
					r.meets(t, p, x, x.frame(flags, 0, packet.IP{}, packet.Link{}), want)
				})
			}
		}
		r.putServer(t, rows[0], DirectorServer{State: up})
	})
}

// meets demands that fate of a flow to the first server, in a ring of the second.
func (r *forwardRig) meets(t *testing.T, p program, x traffic, frame []byte, want fate) {
	t.Helper()
	rows := x.rows()
	since := r.tallied(t, rows[0])
	var lost uint64
	switch want {
	case stays:
		r.passed(t, p, x, frame, known, r.toServer(frame, rows[0]))
	case moves, loses:
		r.passed(t, p, x, frame, opened, r.toServer(frame, rows[1]))
		if f, table := r.flow(t, x); f.Server != uint16(rows[1]) || table != notedFlows {
			t.Errorf("flow is %+v in %q", f, table)
		}
		if want == loses {
			lost = 1
		}
	case isReset:
		r.passed(t, p, x, frame, DirectorVerdictANSWER_RESET, resetTo(t, frame))
		lost = 1
	case vanishes:
		r.passed(t, p, x, frame, DirectorVerdictDROP_RESET, nil)
		lost = 1
	}
	if got := since(); got.Lost != lost {
		t.Errorf("%d flows lost, want %d", got.Lost, lost)
	}
	if _, table := r.flow(t, x); (want == isReset || want == vanishes) && table != "" {
		t.Errorf("the flow is still in %q", table)
	}
}

// resetTo is the reset that a segment is answered with.
func resetTo(t testing.TB, frame []byte) []byte {
	t.Helper()
	p, err := packet.Parse(frame)
	if err != nil {
		t.Fatal(err)
	}
	return answerTo(*p.TCP, packet.TCP{Seq: p.TCP.Ack, Flags: packet.RST}).Bytes()
}

// TestResetOfDownIsLimited: resets of flows have the budget of all resets; those
// beyond it are dropped, and their flows wait for the next packet.
func TestResetOfDownIsLimited(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		if x.udp {
			return
		}
		row := x.rows()[0]
		r.putForward(t, x, DirectorForward{}, row)
		for _, frame := range [][]byte{x.first(), x.next()} {
			if _, _, err := p.run(frame); err != nil {
				t.Fatal(err)
			}
		}
		r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_DOWN})
		defer r.putServer(t, row, DirectorServer{State: serverUp})
		since := r.tallied(t, row)
		r.set(t, DirectorSetting{})
		r.passed(t, p, x, x.next(), DirectorVerdictDROP_LIMIT, nil)
		none := x.frame(packet.PSH, 5, packet.IP{}, packet.Link{})
		r.passed(t, p, x, none, DirectorVerdictDROP_FLAGS, nil)
		if _, table := r.flow(t, x); table != notedFlows || since().Lost != 0 {
			t.Errorf("flow is in %q, %d lost", table, since().Lost)
		}
		r.set(t, DirectorSetting{ResetLimit: 1 << 30})
		r.passed(t, p, x, x.next(), DirectorVerdictANSWER_RESET, resetTo(t, x.next()))
	})
}

// TestSorryAndForward: a service that is sorry answers new clients with its page,
// and what is left of its flows still goes to their servers where orphans pass.
func TestSorryAndForward(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		if x.udp {
			return
		}
		row := x.rows()[0]
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_SERVE})
		r.putForward(t, x, DirectorForward{}, row)
		for _, frame := range [][]byte{x.first(), x.next()} {
			if _, _, err := p.run(frame); err != nil {
				t.Fatal(err)
			}
		}
		sorry := DirectorService{
			Mode: DirectorServiceModeMODE_SORRY, Orphans: DirectorOrphanFateORPHAN_PASS, Page: [2]uint32{1, 0},
		}
		r.putService(t, x, sorry)
		r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_DRAIN})
		defer r.putServer(t, row, DirectorServer{State: serverUp})
		r.putForward(t, x, DirectorForward{})
		r.passed(t, p, x, x.next(), known, r.toServer(x.next(), row))
		other := x.from(x.client.Port() + 100)
		r.passed(t, p, other, other.next(), DirectorVerdictPASS_NO_SERVER, nil)
		syn := other.first()
		if ret, out, err := p.run(syn); err != nil || ret != p.send || bytes.Equal(out, syn) {
			t.Errorf("a SYN: returned %d, %v", ret, err)
		}
		sorry.Orphans = DirectorOrphanFateORPHAN_RESET
		r.putService(t, x, sorry)
		r.passed(t, p, x, x.next(), DirectorVerdictANSWER_RESET, resetTo(t, x.next()))
		sorry.Mode = DirectorServiceModeMODE_LINGER
		r.putService(t, x, sorry)
		r.passed(t, p, x, x.next(), known, r.toServer(x.next(), row))
	})
}

// TestSorryDatagrams: there is no page for UDP; the kernel refuses the client.
func TestSorryDatagrams(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		if !x.udp {
			return
		}
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
		r.passed(t, p, x, x.first(), DirectorVerdictPASS_NO_PAGE, nil)
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_LINGER})
		r.putForward(t, x, DirectorForward{}, x.rows()[0])
		r.passed(t, p, x, x.first(), opened, r.toServer(x.first(), x.rows()[0]))
	})
}

// TestSorryWithoutAPage begins nothing, whatever stands in the ring, and ends
// nothing.
func TestSorryWithoutAPage(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		row := x.rows()[0]
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_SERVE})
		r.putForward(t, x, DirectorForward{}, row)
		r.passed(t, p, x, x.first(), opened, r.toServer(x.first(), row))
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_SORRY})
		r.passed(t, p, x, x.next(), known, r.toServer(x.next(), row))
		other := x
		other.client = netip.AddrPortFrom(x.client.Addr(), x.client.Port()+1)
		r.passed(t, p, other, other.first(), DirectorVerdictPASS_NO_PAGE, nil)
	})
}

// TestNotForwardedHere: a service without a row of forwarding is for others.
func TestNotForwardedHere(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		put(t, r.Forwards, uint32(x.id), DirectorForward{})
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_SERVE})
		r.passed(t, p, x, x.first(), DirectorVerdictPASS_SERVED, nil)
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_LINGER, Page: [2]uint32{1, 0}})
		r.passed(t, p, x, x.first(), DirectorVerdictPASS_LINGER, nil)
		if _, table := r.flow(t, x); table != "" {
			t.Errorf("noted in %q", table)
		}
	})
}

// TestLostMaps: what the maps lack stops no packet for good.
func TestLostMaps(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		if err := r.Rings.Delete(uint32(x.id)); err != nil {
			t.Fatal(err)
		}
		r.passed(t, p, x, x.first(), DirectorVerdictPASS_NO_SERVER, nil)
		r.putForward(t, x, DirectorForward{}, 0, 0, 63, 0, 0, 0, 0, 0, x.rows()[1])
		put(t, r.Turns, uint32(x.id), uint32(0))
		r.passed(t, p, x, x.first(), opened, r.toServer(x.first(), x.rows()[1]))
	})
}

// TestNowhereToMove: a flow whose server is down, and no other up, waits for one;
// it is lost once, when it moves.
func TestNowhereToMove(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		rows := x.rows()
		repick := DirectorForward{Down: DirectorDownFateDOWN_REPICK}
		r.putForward(t, x, repick, rows[0])
		for _, frame := range [][]byte{x.first(), x.next()} {
			if _, _, err := p.run(frame); err != nil {
				t.Fatal(err)
			}
		}
		r.putServer(t, rows[0], DirectorServer{State: DirectorServerStateSERVER_DOWN})
		defer r.putServer(t, rows[0], DirectorServer{State: serverUp})
		since := r.tallied(t, rows[0])
		for range 3 {
			r.passed(t, p, x, x.next(), DirectorVerdictPASS_NO_SERVER, nil)
		}
		if got := since(); got.Lost != 0 {
			t.Errorf("%d lost before any moved", got.Lost)
		}
		r.putForward(t, x, repick, rows[1])
		r.passed(t, p, x, x.next(), opened, r.toServer(x.next(), rows[1]))
		r.passed(t, p, x, x.next(), known, r.toServer(x.next(), rows[1]))
		if got := since(); got.Lost != 1 {
			t.Errorf("%d lost, want 1", got.Lost)
		}
	})
}
