// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// probe is the program that stands at the egress of the loopback interface.
func (r *forwardRig) probe(mark uint32) program {
	p := r.rig.programs()[1]
	p.name, p.prog, p.mark = "probe", r.MaitredProbe, mark
	return p
}

// TestProbe: a check's packets go to the server that it asks, be it up or not,
// and to no other.
func TestProbe(t *testing.T) {
	const mark = 0x6d00
	r := newForwardRig(t)
	for _, x := range traffics() {
		t.Run(x.name, func(t *testing.T) {
			rows := x.rows()
			r.putForward(t, x, DirectorForward{}, rows[0])
			for i, row := range rows {
				put(t, r.Marks, mark+uint32(i), row)
			}
			for i, state := range []DirectorServerState{serverUp, DirectorServerStateSERVER_DRAIN, DirectorServerStateSERVER_DOWN} {
				r.putServer(t, rows[i], DirectorServer{State: state})
				for _, frame := range [][]byte{x.first(), x.next(), x.first()} {
					r.passed(t, r.probe(mark+uint32(i)), x, frame, DirectorVerdictFORWARD_PROBE, r.toServer(frame, rows[i]))
				}
				r.putServer(t, rows[i], DirectorServer{State: serverUp})
			}
		})
	}
}

// TestNoProbe: what has no mark of a check passes and is not counted; what has one
// and is for no service goes nowhere.
func TestNoProbe(t *testing.T) {
	const mark = 7
	r := newForwardRig(t)
	put(t, r.Marks, uint32(mark), uint32(rows4))
	for _, x := range traffics() {
		before := r.counts(t)
		if ret, _, err := r.probe(mark + 1).run(x.first()); err != nil || ret != r.probe(0).pass {
			t.Errorf("%s: without a mark: %d, %v", x.name, ret, err)
		}
		x.vip = netip.AddrPortFrom(x.vip.Addr(), 81)
		if ret, _, err := r.probe(mark).run(x.first()); err != nil || ret != r.probe(0).drop {
			t.Errorf("%s: to no service: %d, %v", x.name, ret, err)
		}
		if got := r.since(before, r.counts(t)); got != "" {
			t.Errorf("%s: counted %s", x.name, got)
		}
	}
}

// TestProbeAnswer: an answer from a service's address to this host comes in by
// loopback; one to a client, or from elsewhere, is none.
func TestProbeAnswer(t *testing.T) {
	r := newForwardRig(t)
	xdp, tc := r.programs()[0], r.programs()[1]
	xdp.from, tc.from = r.far, r.far
	for _, x := range traffics() {
		t.Run(x.name, func(t *testing.T) {
			answer := func(dst netip.Addr, port uint16) []byte {
				y := x
				y.client, y.vip = netip.AddrPortFrom(x.vip.Addr(), port), netip.AddrPortFrom(dst, 45000)
				return y.frame(packet.SYN|packet.ACK, 0, packet.IP{}, packet.Link{})
			}
			here := netip.MustParseAddr("10.0.0.254")
			if x.vip.Addr().Is6() {
				here = netip.MustParseAddr("2001:db8:10::fe")
			}
			frame, nobody := answer(here, x.vip.Port()), x
			nobody.id = 0
			r.tune(t, DirectorForwardSetting{})
			r.passed(t, tc, nobody, frame, DirectorVerdictPASS_NO_SERVICE, nil)
			r.tune(t, DirectorForwardSetting{Probes: 1})
			r.passed(t, xdp, nobody, frame, DirectorVerdictPASS_NO_SERVICE, nil)
			want := append(make([]byte, 6), frame[6:]...)
			r.passed(t, tc, x, frame, DirectorVerdictFORWARD_PROBE, want)
			put := tc
			put.from = 1 // where it was put: the loopback interface
			r.passed(t, put, nobody, want, DirectorVerdictPASS_NO_SERVICE, nil)
			r.passed(t, tc, nobody, answer(here, x.vip.Port()+1), DirectorVerdictPASS_NO_SERVICE, nil)
			r.passed(t, tc, nobody, answer(x.client.Addr(), x.vip.Port()), DirectorVerdictPASS_NO_SERVICE, nil)
		})
	}
}

// TestProbeAnswerTag: the answer loses its tags, which loopback takes for another network's.
func TestProbeAnswerTag(t *testing.T) {
	r := newForwardRig(t)
	tc := r.programs()[1]
	tc.from = r.far
	r.tune(t, DirectorForwardSetting{Probes: 1})
	for _, x := range traffics() {
		t.Run(x.name, func(t *testing.T) {
			y := x
			y.client, y.vip = x.vip, netip.MustParseAddrPort("10.0.0.254:45000")
			if x.vip.Addr().Is6() {
				y.vip = netip.MustParseAddrPort("[2001:db8:10::fe]:45000")
			}
			frame := y.frame(packet.SYN|packet.ACK, 0, packet.IP{}, packet.Link{VLANs: []uint16{7}})
			plain := y.frame(packet.SYN|packet.ACK, 0, packet.IP{}, packet.Link{})
			r.passed(t, tc, x, frame, DirectorVerdictFORWARD_PROBE, append(make([]byte, 6), plain[6:]...))
		})
	}
}
