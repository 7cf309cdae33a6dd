// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// translated wants what can be read, goes to a server, and has right checksums if
// they were right before.
func (r *forwardRig) translated(frame, out []byte, _ deed) error {
	asked, err := packet.Parse(frame)
	if err != nil {
		return fmt.Errorf("forwarded what cannot be read: %w", err)
	}
	got, err := packet.Parse(out)
	if err != nil {
		return fmt.Errorf("forwarded as %x: %w", out, err)
	}
	if got.Dst != serverAddr(rows4) && got.Dst != serverAddr(rows6) {
		return fmt.Errorf("forwarded to %v", got.Dst)
	}
	if asked.ChecksumsOK() != nil {
		return nil
	}
	if err := got.ChecksumsOK(); err != nil {
		return fmt.Errorf("forwarded as %x: %w", out, err)
	}
	return nil
}

// riggedData leaves out checks, which would ask a server of one family in the other.
func (r *forwardRig) riggedData(t testing.TB, forward law) []*trial {
	t.Helper()
	return slices.DeleteFunc(r.rigged(t, forward), func(x *trial) bool { return x.program.name == "probe" })
}

// TestRandomNAT sends mutated frames to services by NAT of all kinds.
func TestRandomNAT(t *testing.T) {
	const seed = 13
	r := newNATRig(t)
	kinds := natKinds()
	for i, x := range traffics() {
		n := r.translate(t, x, kinds[(i+2)%len(kinds)])
		r.putBacks(t, n, uint16(x.id))
	}
	r.tune(t, natSetting(1, 20000, 60999))
	random(t, r.riggedData(t, r.translated), forwardSeeds(), seed)
}

// encapsulated wants the packet with a hop less at the end of another, whose
// checksums are right.
func (r *forwardRig) encapsulated(frame, out []byte, _ deed) error {
	outer, err := packet.Parse(out)
	if err == nil && (outer.UDP == nil || outer.Dst.Is4()) { // GUE over IPv6 has none: RFC 6935
		err = outer.ChecksumsOK()
	}
	if err != nil {
		return fmt.Errorf("forwarded as %x: %w", out, err)
	}
	whole := packet.Datagram(out)
	want := packet.Datagram(hopped(frame, packet.MAC{}, packet.MAC{}, false))
	if len(whole) < len(want)+20 {
		return errors.New("forwarded without an outer header")
	}
	inner := whole[len(whole)-len(want):]
	const check = 10
	if before := packet.Datagram(frame); want[0]>>4 == 4 && packet.Checksum(before[:int(before[0]&15)*4]) != 0 {
		binary.BigEndian.PutUint16(want[check:], binary.BigEndian.Uint16(inner[check:]))
	}
	if !bytes.Equal(inner, want) {
		return fmt.Errorf("forwarded as %x, want %x in it", out, want)
	}
	return nil
}

// TestRandomTunnel sends mutated frames to services by all tunnels.
func TestRandomTunnel(t *testing.T) {
	const seed = 19
	r := newForwardRig(t)
	for _, x := range traffics() {
		row := x.rows()[0]
		s := tunnelTo(netip.MustParseAddr("10.0.0.254"), serverAddr(row), DirectorTunnelTUNNEL_IPIP)
		if x.client.Addr().Is6() {
			s.Source = words(netip.MustParseAddr("2001:db8:10::fe"))
		}
		if x.udp {
			row += 1
			s.Address, s.Tunnel = words(serverAddr(row)), DirectorTunnelTUNNEL_GUE
		}
		s.State = serverUp
		r.putServer(t, row, s)
		r.putForward(t, x, DirectorForward{}, row)
	}
	random(t, r.riggedData(t, r.encapsulated), forwardSeeds(), seed)
}
