// SPDX-License-Identifier: Apache-2.0

// Package flood sends SYNs from addresses where nobody is, as many as the machine
// makes. It knows the frames and the way to a device, and nothing of who gets them.
package flood

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// Flood is a source of SYNs, each from a random address, port and sequence number.
type Flood struct {
	from    *netlab.Namespace
	frame   []byte
	program *ebpf.Program
}

// Target is where the SYNs go, and where they pretend to come from.
type Target struct {
	To   netip.AddrPort // of IPv4
	MAC  packet.MAC     // whom the frames are for
	From netip.Prefix   // of IPv4
}

// New makes a flood that leaves a namespace by a device, past its TCP/IP. The
// other end of a veth needs an XDP program to take it.
func New(n *netlab.Namespace, dev string, t Target) (*Flood, error) {
	if !t.To.Addr().Is4() || !t.From.Addr().Is4() || t.From.Bits() < 8 {
		return nil, fmt.Errorf("make a flood from %v to %v: both are to be of IPv4, the prefix of 8 bits or more", t.From, t.To)
	}
	link, err := n.Netlink().LinkByName(dev)
	if err != nil {
		return nil, fmt.Errorf("make a flood: find %s: %w", dev, err)
	}
	f := &Flood{from: n, frame: blank(t)}
	f.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "flood", Type: ebpf.XDP, License: "Apache-2.0",
		Instructions: instructions(f.frame, t.From, link.Attrs().Index),
	})
	if err != nil {
		return nil, fmt.Errorf("make a flood: %w", err)
	}
	return f, nil
}

// blank is a SYN whose random fields are zero.
func blank(t Target) []byte {
	return packet.TCP{
		Src: netip.AddrPortFrom(netip.IPv4Unspecified(), 0), Dst: t.To,
		Flags: packet.SYN, Window: 65535, Link: packet.Link{Dst: t.MAC},
	}.Bytes()
}

// Close gives the descriptors back.
func (f *Flood) Close() error { return f.program.Close() }

// Send sends so many packets, as fast as can be.
func (f *Flood) Send(packets uint32) error {
	err := f.from.Do(func() error {
		_, err := f.program.Run(&ebpf.RunOptions{Data: f.frame, Repeat: packets, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES})
		return err
	})
	if err != nil {
		return fmt.Errorf("send a flood of %d packets: %w", packets, err)
	}
	return nil
}

// Run sends so many packets a second, or as many as it can, until the context
// ends. It tells how many it sent.
func (f *Flood) Run(ctx context.Context, perSecond int) (sent uint64, err error) {
	const burst = 1 << 16 // the kernel takes ten milliseconds or so to prepare for each
	began := time.Now()
	for ctx.Err() == nil {
		if err := f.Send(burst); err != nil {
			return sent, err
		}
		sent += burst
		due := began.Add(time.Duration(float64(sent) / float64(perSecond) * float64(time.Second)))
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(due)):
		}
	}
	return sent, nil
}
