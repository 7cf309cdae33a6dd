// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/packet"
)

// TestNATBeyondTheBudget: what is not noted has its answers all the same, and
// what goes past the service keeps its own at all other times.
func TestNATBeyondTheBudget(t *testing.T) {
	r := newNATRig(t)
	usual := DirectorForwardSetting{TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300, FreshLimit: 1 << 30}
	beyond := usual
	beyond.FreshLimit = 0
	r.gateways(t, func(t *testing.T, p program, n nat) {
		r.putBacks(t, n, uint16(n.id))
		put(t, r.Unnoted, uint32(n.id), uint64(0))
		answer := talk{flags: packet.SYN | packet.ACK}
		r.untouched(t, p, n, answer)
		r.tune(t, beyond)
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		r.tune(t, usual)
		var flow DirectorFlow
		if r.Fresh.Lookup(n.key(), &flow) == nil || r.Flows.Lookup(n.key(), &flow) == nil {
			t.Fatal("the flow was noted")
		}
		r.back(t, p, n, answer)
	})
}

// TestNATNoForward: where the service is no longer forwarded its server's answers are left alone.
func TestNATNoForward(t *testing.T) {
	eachNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		put(t, r.Forwards, uint32(n.id), DirectorForward{})
		r.untouched(t, p, n, talk{flags: packet.SYN | packet.ACK})
	})
}

// TestNATPolicy: the way to the client is that of the service's packets, by rules
// that go by the source.
func TestNATPolicy(t *testing.T) {
	const table, row = 100, 5
	r := newNATRig(t)
	link := r.in.Netlink()
	for _, x := range traffics()[:4] {
		gateway, family := serverAddr(row), netlink.FAMILY_V4
		if x.vip.Addr().Is6() {
			gateway, family = serverAddr(rows6+row), netlink.FAMILY_V6
		}
		from := netip.PrefixFrom(x.vip.Addr(), x.vip.Addr().BitLen())
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority = family, table, 100
		rule.Src = &net.IPNet{IP: from.Addr().AsSlice(), Mask: net.CIDRMask(from.Bits(), from.Bits())}
		err := errors.Join(link.RuleAdd(rule), link.RouteReplace(&netlink.Route{
			Family: family, Table: table, LinkIndex: r.far, Gw: gateway.AsSlice(), Dst: anywhere(family),
		}))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			t.Fatal(err)
		}
		r.neighbour(t, r.far, gateway, serverMAC(row))
	}
	r.gateways(t, func(t *testing.T, p program, n nat) {
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		k := talk{udp: n.udp, flags: packet.SYN | packet.ACK}
		p.from = r.far
		frame, verdict := k.between(n.server, n.client), DirectorVerdictFORWARD_BACK
		before := r.counts(t)
		_, out, err := p.run(frame)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r.since(before, r.counts(t)), counted(n.id, r.names[verdict], 1, uint64(len(frame))); got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
		if want := hopped(k.between(n.vip, n.client), r.farMAC, serverMAC(row), false); !bytes.Equal(out, want) {
			t.Errorf("out %x\nwant %x", out, want)
		}
	})
}

func anywhere(family int) *net.IPNet {
	if family == netlink.FAMILY_V6 {
		return &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
}
