// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

// fragmentSize is a multiple of 8.
const fragmentSize = 1200

// fragments cuts a datagram between two ends into frames with this number.
func fragments(udp bool, src, dst netip.AddrPort, id uint32, size int) [][]byte {
	k := talk{udp: udp, flags: packet.ACK, payload: bytesOf(size)}
	whole, err := packet.Parse(k.between(src, dst))
	if err != nil {
		panic(err)
	}
	proto := packet.ProtoTCP
	if udp {
		proto = packet.ProtoUDP
	}
	l4 := k.between(src, dst)
	l4 = l4[len(l4)-len(whole.Payload)-headerSize(udp):]
	var frames [][]byte
	for at := 0; at < len(l4); at += fragmentSize {
		end := min(at+fragmentSize, len(l4))
		more := end < len(l4)
		ip := packet.IP{ID: uint16(id), MF: more, FragmentOffset: uint16(at)}
		ip.Extensions = []packet.Extension{packet.Fragment(id, uint16(at), more)}
		frames = append(frames, packet.Raw{Src: src.Addr(), Dst: dst.Addr(), Proto: proto, Payload: l4[at:end], IP: ip}.Bytes())
	}
	return frames
}

func headerSize(udp bool) int {
	if udp {
		return 8
	}
	return 20
}

// eachFragmented runs a test for tc, all traffics and all kinds of NAT, and dr.
func eachFragmented(t *testing.T, f func(t *testing.T, r *forwardRig, p program, n nat)) {
	t.Helper()
	r := newNATRig(t)
	p := r.programs()[1]
	for _, x := range traffics() {
		for _, k := range append(natKinds(), natKind{name: "dr"}) {
			t.Run(x.name+" "+k.name, func(t *testing.T) {
				n := r.translate(t, x, k)
				if k.name == "dr" {
					n.server = n.vip
					clearMap(t, r.Backs)
				}
				clearMap(t, r.Fragments)
				f(t, r, p, n)
			})
		}
	}
}

// TestFragmentsFollow: those behind the first go where that goes, both ways, by the
// names that it has there.
func TestFragmentsFollow(t *testing.T) {
	eachFragmented(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		since, gave := r.tallied(t, n.row), r.gaveBack(t, n.row)
		out := fragments(n.udp, n.client, n.vip, 77, 5000)
		for i, want := range fragments(n.udp, n.source, n.server, 77, 5000) {
			verdict := DirectorVerdictFORWARD_FLOW
			if i == 0 {
				verdict = DirectorVerdictFORWARD_OPEN
			}
			r.passed(t, p, n.traffic, out[i], verdict, hopped(want, r.farMAC, serverMAC(n.row), false))
		}
		if got := since(); got.Packets != uint64(len(out)) || got.Flows != 1 {
			t.Errorf("tally %+v", got)
		}
		if n.server == n.vip {
			return // dr: the director sees no answers
		}
		p.from = r.far
		back := fragments(n.udp, n.server, n.source, 78, 5000)
		for i, want := range fragments(n.udp, n.vip, n.client, 78, 5000) {
			r.passed(t, p, n.traffic, back[i], DirectorVerdictFORWARD_BACK, hopped(want, r.nearMAC, clientMAC, false))
		}
		if got := gave(); got.BackPackets != uint64(len(back)) {
			t.Errorf("tally %+v", got)
		}
	})
}

// TestFragmentsUnknown: those whose first has not come by are left alone: by
// another number, another sender, another protocol with IPv4, or before the first.
func TestFragmentsUnknown(t *testing.T) {
	eachFragmented(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		alone := func(name string, udp bool, src, dst netip.AddrPort, id uint32) {
			t.Helper()
			t.Run(name, func(t *testing.T) {
				t.Helper()
				other := n
				other.id = 0
				r.passed(t, p, other.traffic, fragments(udp, src, dst, id, 2000)[1], DirectorVerdictPASS_FRAGMENT, nil)
			})
		}
		next := netip.AddrPortFrom(n.client.Addr().Next(), n.client.Port())
		alone("before the first", n.udp, n.client, n.vip, 77)
		first := fragments(n.udp, n.client, n.vip, 77, 2000)[0]
		r.passed(t, p, n.traffic, first, DirectorVerdictFORWARD_OPEN,
			hopped(fragments(n.udp, n.source, n.server, 77, 2000)[0], r.farMAC, serverMAC(n.row), false))
		alone("another number", n.udp, n.client, n.vip, 78)
		alone("another sender", n.udp, next, n.vip, 77)
		alone("another destination", n.udp, n.client, next, 77)
		if n.client.Addr().Is4() {
			alone("another protocol", !n.udp, n.client, n.vip, 77)
		}
		last := fragments(n.udp, n.client, n.vip, 77, 2000)[1]
		r.passed(t, p, n.traffic, last, DirectorVerdictFORWARD_FLOW,
			hopped(fragments(n.udp, n.source, n.server, 77, 2000)[1], r.farMAC, serverMAC(n.row), false))
	})
}

// TestFragmentsByXDP: they are tc's, and leave no trace.
func TestFragmentsByXDP(t *testing.T) {
	r := newNATRig(t)
	for _, x := range traffics() {
		for _, k := range natKinds() {
			t.Run(fmt.Sprintf("%s %s", x.name, k.name), func(t *testing.T) {
				n := r.translate(t, x, k)
				all := fragments(n.udp, n.client, n.vip, 77, 2000)
				r.deferred(t, r.near, n, all[0])
				other, p := n, r.programs()[0]
				other.id = 0
				r.passed(t, p, other.traffic, all[1], DirectorVerdictPASS_FRAGMENT, nil)
				p.from = r.far
				r.passed(t, p, other.traffic, fragments(n.udp, n.server, n.source, 77, 2000)[0], DirectorVerdictPASS_NO_SERVICE, nil)
				for _, m := range []*ebpf.Map{r.Flows, r.Fresh, r.Bindings, r.Fragments} {
					if key, err := m.NextKeyBytes(nil); err != nil || key != nil {
						t.Errorf("%v has a row", m)
					}
				}
			})
		}
	}
}

// TestFragmentsExpire: a number that was used long ago says nothing of a datagram of today.
func TestFragmentsExpire(t *testing.T) {
	eachFragmented(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		all := fragments(n.udp, n.client, n.vip, 77, 2000)
		r.passed(t, p, n.traffic, all[0], DirectorVerdictFORWARD_OPEN,
			hopped(fragments(n.udp, n.source, n.server, 77, 2000)[0], r.farMAC, serverMAC(n.row), false))
		var key DirectorFragmentKey
		var way DirectorFragmentWay
		if rows := r.Fragments.Iterate(); !rows.Next(&key, &way) {
			t.Fatalf("no note: %v", rows.Err())
		}
		way.Until = uint32(uptime(t)) - 1
		put(t, r.Fragments, key, way)
		n.id = 0
		r.passed(t, p, n.traffic, all[1], DirectorVerdictPASS_FRAGMENT, nil)
	})
}
