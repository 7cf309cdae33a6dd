// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// Way is how a check reaches a real server as clients do: it connects to the
// service's address, and its packets bear a mark by which the forwarding engine
// takes them to that very server.
type Way struct {
	Service netip.AddrPort
	Mark    uint32 // SO_MARK of socket(7); CAP_NET_ADMIN is needed
}

// Through makes a checker ask its targets by a way. The target says which real
// server that is.
func Through(c checkers.Checker, w Way) checkers.Checker { return detour{c, w} }

type detour struct {
	checkers.Checker
	way Way
}

// Check implements Checker.
func (d detour) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	ctx = context.WithValue(ctx, errand{}, &errand{d.way, target.Addr()})
	return d.Checker.Check(ctx, d.way.Service)
}

// Slots implements checkers.Limited.
func (d detour) Slots() checkers.Slots { return checkers.SlotsOf(d.Checker) }

// errand is a way and the server at its end. A context carries it from the
// check to the dialer, past the checks of all types, which need not know.
type errand struct {
	way    Way
	server netip.Addr
}

// detour makes packets take the way that ctx asks for, if any.
func (o *Origin) detour(ctx context.Context) (err error) {
	e, ok := ctx.Value(errand{}).(*errand)
	if !ok {
		return nil
	}
	o.Mark = e.way.Mark
	if !o.Source.IsValid() {
		o.Source, err = sourceTowards(e.server)
	}
	return err
}

// sourceTowards is the director's address on the way to a server. It has to be
// named: the service's own address is the director's too, and the kernel would
// take that, to which no server's answer ever comes back. Nothing is sent.
func sourceTowards(server netip.Addr) (netip.Addr, error) {
	const discard = 9 // any port will do
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, discard)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the director's address towards %s: %w", server, err)
	}
	defer func() { _ = c.Close() }()
	local, _ := c.LocalAddr().(*net.UDPAddr) // of udp it is one
	return local.AddrPort().Addr().Unmap(), nil
}
