// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

// serverOf runs a frame and tells by its MAC address which server it goes to.
func (r *forwardRig) serverOf(t testing.TB, p program, frame []byte) uint32 {
	t.Helper()
	ret, out, err := p.run(frame)
	if err != nil {
		t.Fatal(err)
	}
	if ret != p.forward {
		t.Fatalf("returned %d, want %d", ret, p.forward)
	}
	return uint32(out[5])
}

// TestTurns: each new flow gets the next slot.
func TestTurns(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		rows := x.rows()
		slots := []uint32{rows[0], rows[1], rows[0], rows[2], rows[0]}
		r.putForward(t, x, DirectorForward{}, slots...)
		for i := range uint16(12) {
			x := x.from(1000 + 2*i + x.client.Port()%2)
			if got, want := r.serverOf(t, p, x.first()), slots[int(i)%len(slots)]; got != want {
				t.Errorf("flow %d goes to %d, want %d", i, got, want)
			}
		}
	})
}

// TestTurnsSkip: the turn goes on past those who are not up.
func TestTurnsSkip(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		rows := x.rows()
		for _, state := range []DirectorServerState{
			DirectorServerStateSERVER_NONE, DirectorServerStateSERVER_DRAIN, DirectorServerStateSERVER_DOWN,
		} {
			r.putServer(t, rows[1], DirectorServer{State: state})
			r.putForward(t, x, DirectorForward{}, rows...)
			for i, want := range []uint32{rows[0], rows[2], rows[0], rows[2]} {
				x := x.from(1000 + uint16(i))
				r.forget(t, x)
				if got := r.serverOf(t, p, x.first()); got != want {
					t.Errorf("flow %d goes to %d, want %d", i, got, want)
				}
			}
		}
		r.putServer(t, rows[1], DirectorServer{State: serverUp})
	})
}

// TestNoServer: where none is up the kernel refuses the client.
func TestNoServer(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		for _, spread := range []DirectorSpread{DirectorSpreadSPREAD_TURN, DirectorSpreadSPREAD_ADDRESS, DirectorSpreadSPREAD_PORT} {
			r.putForward(t, x, DirectorForward{Spread: spread}, x.rows()...)
			for _, row := range x.rows() {
				r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_DOWN})
			}
			r.passed(t, p, x, x.first(), DirectorVerdictPASS_NO_SERVER, nil)
			for _, row := range x.rows() {
				r.putServer(t, row, DirectorServer{State: serverUp})
			}
			if _, table := r.flow(t, x); table != "" {
				t.Errorf("noted in %q", table)
			}
		}
	})
}

// TestSpreadByAddress: all ports of a client go to one server, and clients to all.
func TestSpreadByAddress(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		r.putForward(t, x, DirectorForward{Spread: DirectorSpreadSPREAD_ADDRESS}, x.rows()...)
		seen := make(map[uint32]bool)
		for range 40 {
			x.client = netip.AddrPortFrom(x.client.Addr().Next(), x.client.Port())
			first := r.serverOf(t, p, x.first())
			seen[first] = true
			for port := range uint16(5) {
				if got := r.serverOf(t, p, x.from(port*999+1).first()); got != first {
					t.Errorf("%v goes to %d and %d", x.client.Addr(), first, got)
				}
			}
		}
		if len(seen) != servers {
			t.Errorf("40 clients go to %d servers", len(seen))
		}
	})
}

// TestSpreadIsTheSame: two directors, and one after a restart, choose alike.
func TestSpreadIsTheSame(t *testing.T) {
	one, other := newForwardRig(t), newForwardRig(t)
	for _, spread := range []DirectorSpread{DirectorSpreadSPREAD_ADDRESS, DirectorSpreadSPREAD_PORT} {
		for _, x := range traffics() {
			for i, r := range []*forwardRig{one, other} {
				r.putForward(t, x, DirectorForward{Spread: spread}, x.rows()...)
				put(t, r.Turns, uint32(x.id), uint32(i))
			}
			for port := range uint16(30) {
				x := x.from(port + 1)
				a, b := one.serverOf(t, one.programs()[0], x.first()), other.serverOf(t, other.programs()[1], x.first())
				if a != b {
					t.Errorf("%v: %d and %d", x.client, a, b)
				}
			}
		}
	}
}

// TestHashQuality: clients that differ in a few bits only, as those of one
// network do, are spread no less evenly than chance has it.
func TestHashQuality(t *testing.T) {
	r := newForwardRig(t)
	const rows = 63 // all but row 0, which is nobody's
	var slots []uint32
	for row := uint32(1); row <= rows; row++ {
		put(t, r.Servers, row, DirectorServer{Address: words(serverAddr(rows4)), State: serverUp})
		slots = append(slots, row)
	}
	for name, client := range map[string]func(i int) netip.AddrPort{
		"IPv4, neighbours": func(i int) netip.AddrPort { return netip.AddrPortFrom(addr4(0x0a000000+i), 40000) },
		"IPv4, networks":   func(i int) netip.AddrPort { return netip.AddrPortFrom(addr4(i<<16|1), 40000) },
		"IPv4, ports":      func(i int) netip.AddrPort { return netip.AddrPortFrom(addr4(0xc0000201), uint16(20000+i)) },
		"IPv6, interfaces": func(i int) netip.AddrPort { return netip.AddrPortFrom(addr6(0x20010db8, 0, i), 40000) },
		"IPv6, networks":   func(i int) netip.AddrPort { return netip.AddrPortFrom(addr6(0x20010db8, i, 1), 40000) },
		"IPv6, providers":  func(i int) netip.AddrPort { return netip.AddrPortFrom(addr6(0x20000000+i, 0, 1), 40000) },
	} {
		t.Run(name, func(t *testing.T) {
			x := traffics()[0]
			if client(1).Addr().Is6() {
				x = traffics()[2]
			}
			r.putForward(t, x, DirectorForward{Spread: DirectorSpreadSPREAD_PORT}, slots...)
			if chi := r.chiSquare(t, x, slots, client); chi > 102.2 {
				t.Errorf("chi-square is %.1f, of which chance exceeds 102.2 once in a thousand", chi)
			}
		})
	}
}

// chiSquare sends a packet of each of many clients, and measures how uneven
// the shares of the servers are: with 62 degrees of freedom, if that is chance.
// Nothing is noted, so that each packet is a pick.
func (r *forwardRig) chiSquare(t *testing.T, x traffic, rows []uint32, client func(int) netip.AddrPort) (chi float64) {
	t.Helper()
	const mean = 100
	r.tune(t, DirectorForwardSetting{TcpTimeout: 900})
	since := make([]func() DirectorTally, len(rows))
	for i, row := range rows {
		since[i] = r.tallied(t, row)
	}
	if err := r.in.Do(func() error {
		for i := range mean * len(rows) {
			x.client = client(i)
			if _, err := r.MaitredTc.Run(&ebpf.RunOptions{Data: x.first()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, f := range since {
		n := int(f().Packets)
		total += n
		chi += float64((n-mean)*(n-mean)) / mean
	}
	if total != mean*len(rows) {
		t.Errorf("%d of %d packets went to a server", total, mean*len(rows))
	}
	return chi
}

func addr4(n int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(n))))
}

func addr6(provider, network, host int) netip.Addr {
	b := binary.BigEndian.AppendUint32(nil, uint32(provider))
	b = binary.BigEndian.AppendUint32(b, uint32(network))
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(b, uint64(host))))
}

// TestSpreadByFlags: the packets of one client that are not noted all go where
// its SYN went.
func TestSpreadByFlags(t *testing.T) {
	forEach(t, func(t *testing.T, r *forwardRig, p program, x traffic) {
		r.tune(t, DirectorForwardSetting{TcpTimeout: 900})
		for _, spread := range []DirectorSpread{DirectorSpreadSPREAD_TURN, DirectorSpreadSPREAD_ADDRESS, DirectorSpreadSPREAD_PORT} {
			r.putForward(t, x, DirectorForward{Spread: spread}, x.rows()...)
			want := r.serverOf(t, p, x.first())
			for _, flags := range []packet.Flags{syn, ack, fin, rst, ack | packet.PSH} {
				if got := r.serverOf(t, p, x.frame(flags, 9, packet.IP{}, packet.Link{})); got != want {
					t.Errorf("spread %d: %v goes to %d, the SYN went to %d", spread, flags, got, want)
				}
			}
		}
	})
}
