// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

// lane is a rig whose services, of TCP and of UDP, have one server, and the way
// to it leads back by the interface that the frames of a test run come in by.
type lane struct {
	*rig
	device uint32 // its index
	mtu    uint32 // of the way
}

const (
	laneServer = 1 // its row
	laneDevice = 1 // loopback
	gueService = 6080
)

// The MAC addresses of the way.
var (
	laneTarget = packet.MAC{2, 0, 0, 0, 0, 0x77}
	laneSource = packet.MAC{2, 0, 0, 0, 0, 0x66}
)

var (
	near4, far4 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.11")
	near6, far6 = netip.MustParseAddr("2001:db8:3::1"), netip.MustParseAddr("2001:db8:3::11")
)

func newLane(t testing.TB) *lane {
	t.Helper()
	l := &lane{rig: newRig(t), device: laneDevice, mtu: 65535}
	ring, err := ebpf.NewMap(l.ringSpec)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	put(t, ring, uint32(0), [4]uint16{laneServer})
	l.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SERVE})
	for id, vip := range map[uint32]netip.AddrPort{id4: vip4, id6: vip6} {
		key := serviceKey(vip)
		put(t, l.Forwards, id, DirectorForward{Service: key, Slots: 1})
		put(t, l.Rings, id, ring)
		key.Protocol = packet.ProtoUDP
		put(t, l.Services, key, DirectorService{Id: id})
	}
	put(t, l.Forwarding, uint32(0), DirectorForwardSetting{
		TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300, FreshLimit: 1 << 20,
	})
	return l
}

// programs are those of the rig. What XDP forwards goes out as it came in.
func (l *lane) programs() []program {
	all := l.rig.programs()
	all[0].forward = all[0].send
	return all
}

// send makes s the server, and forgets all flows.
func (l *lane) send(t testing.TB, s DirectorServer) {
	t.Helper()
	s.State = DirectorServerStateSERVER_UP
	put(t, l.Servers, uint32(laneServer), s)
	l.route(t)
	for _, m := range []*ebpf.Map{l.Flows, l.Fresh} {
		var key DirectorFlowKey
		for m.NextKey(nil, &key) == nil {
			if err := m.Delete(key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// route gives every CPU the way, for ever.
func (l *lane) route(t testing.TB) {
	t.Helper()
	way := make([]DirectorRoute, ebpf.MustPossibleCPU())
	for i := range way {
		way[i] = DirectorRoute{Until: math.MaxUint64, Interface: l.device, Mtu: l.mtu, Target: laneTarget, Source: laneSource}
	}
	put(t, l.Routes, uint32(laneServer), way)
}

// tunnelTo is a server behind a tunnel.
func tunnelTo(source, address netip.Addr, kind DirectorTunnel) DirectorServer {
	return DirectorServer{
		Address: words(address), Source: words(source), Method: DirectorMethodMETHOD_TUN, Tunnel: kind,
		TunnelPort: wirePort(gueService),
	}
}

// result is what one of the programs is to make of a frame.
type result struct {
	verdict DirectorVerdict
	id      int
	frame   []byte // nil: as it was
}

// expect demands of a program what it returns, every byte of the frame, and the
// counters. Identifications that are drawn by lot are taken over: see drawn.
func (l *lane) expect(t *testing.T, p program, frame []byte, want result) {
	t.Helper()
	before := l.counts(t)
	ret, out, err := p.run(frame)
	if err != nil {
		t.Fatal(err)
	}
	line := counted(want.id, l.names[want.verdict], 1, uint64(len(frame)))
	if p.name == "xdp" && want.verdict < DirectorVerdictPASS_DEFERRED {
		line = ""
	}
	if got := l.since(before, l.counts(t)); got != line {
		t.Errorf("counted %s, want %s", got, line)
	}
	if ret != p.expected(want.verdict) {
		t.Errorf("returned %d, want %d", int32(ret), int32(p.expected(want.verdict)))
	}
	if want.frame == nil {
		want.frame = frame
	}
	if got := drawn(out, want.frame); !bytes.Equal(got, want.frame) {
		t.Errorf("the frame that came out:\n got %x\nwant %x", got, want.frame)
	}
}

// drawn puts the identification that is wanted into an outer IPv4 header that
// may be cut into fragments, and brings its checksum along.
func drawn(got, want []byte) []byte {
	at := 14
	for at+4 < len(got) && (binary.BigEndian.Uint16(got[at-2:]) == packet.TPID8021Q || binary.BigEndian.Uint16(got[at-2:]) == packet.TPID8021AD) {
		at += 4
	}
	if len(got) != len(want) || len(got) < at+20 || got[at] != 0x45 || got[at+6]&0x40 != 0 || packet.Checksum(got[at:at+20]) != 0 {
		return got
	}
	got = bytes.Clone(got)
	copy(got[at+4:at+6], want[at+4:at+6])
	copy(got[at+10:at+12], []byte{0, 0})
	binary.BigEndian.PutUint16(got[at+10:], packet.Checksum(got[at:at+20]))
	return got
}
