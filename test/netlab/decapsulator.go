// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/cilium/ebpf/asm"
)

// GUEPort is where servers take in GUE, the port that IANA gave it.
const GUEPort = 6080

// Tunnel is the kind of outer header that the servers of a TUN lab take in.
type Tunnel int

// IPIP is RFC 2003, RFC 2473 and the mixed forms: any IP version in any. GUE is
// draft-ietf-intarea-gue, variant 0 without options, over UDP.
const (
	IPIP Tunnel = iota
	GUE
)

// tunnelEnd is what guards the eth0 of a server in a TUN lab: a packet to a
// service address that comes bare is lost, so that nothing works by accident,
// and so is one in the other kind of outer header.
type tunnelEnd struct {
	local4, local6 netip.Addr
	bare           []netip.Addr // destinations that are to come in an outer header
	kind           Tunnel
	strip          bool // takes the outer header off; else the kernel does
}

// Offsets in a frame without tags, and lengths.
const (
	etherSize = 14
	ipv4Size  = 20
	ipv6Size  = 40
	gueSize   = 8 + 4
)

const (
	protoIPIP = 4
	protoUDP  = 17
	protoIPv6 = 41
)

const (
	xdpDrop = 1
	xdpPass = 2
)

// program is for XDP. R6 is the context, R7 and R8 begin and end the frame, R9
// is how much to strip. It takes no outer header that a kernel would refuse: the
// sum of IPv4's and all lengths must be right.
func (e tunnelEnd) program() asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word),
		asm.LoadMem(asm.R8, asm.R6, 4, asm.Word),
	}
	p = append(p, reach(etherSize+ipv4Size)...)
	p = append(p,
		asm.LoadMem(asm.R0, asm.R7, 12, asm.Half),
		asm.JEq.Imm(asm.R0, onWire(0x0800), "ipv4"),
		asm.JEq.Imm(asm.R0, onWire(0x86dd), "ipv6"),
		asm.Ja.Label("pass"),
	)
	p = append(p, e.outer4()...)
	p = append(p, e.outer6()...)
	p = append(p, e.gue()...)
	if e.strip {
		p = append(p, strip()...)
	} else {
		p = append(p, asm.Ja.Label("pass").WithSymbol("strip"))
	}
	return append(p,
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("drop"),
		asm.Return(),
	)
}

func (e tunnelEnd) outer4() asm.Instructions {
	p := asm.Instructions{
		asm.LoadMem(asm.R0, asm.R7, etherSize+6, asm.Half).WithSymbol("ipv4"),
		asm.And.Imm(asm.R0, onWire(0x3fff)),
		asm.JNE.Imm(asm.R0, 0, "pass"), // a fragment
	}
	p = append(p, matches(e.local4, etherSize+16, "mine4")...)
	for _, a := range e.bare {
		if a.Is4() {
			p = append(p, matches(a, etherSize+16, "drop")...)
		}
	}
	p = append(p, asm.Ja.Label("pass"))
	p = append(p, labelled("mine4", reach(etherSize+2*ipv4Size))...)
	p = append(p,
		asm.LoadMem(asm.R0, asm.R7, etherSize+9, asm.Byte),
		asm.Mov.Imm(asm.R9, ipv4Size),
	)
	p = append(p, e.tunnelled("4")...)
	p = append(p,
		asm.LoadMem(asm.R0, asm.R7, etherSize, asm.Byte).WithSymbol("tunnel4"),
		asm.JNE.Imm(asm.R0, 0x45, "drop"),
		asm.Mov.Imm(asm.R1, 0),
	)
	for i := int16(0); i < ipv4Size; i += 2 {
		p = append(p, asm.LoadMem(asm.R0, asm.R7, etherSize+i, asm.Half), asm.Add.Reg(asm.R1, asm.R0))
	}
	for range 2 {
		p = append(p, asm.Mov.Reg(asm.R0, asm.R1), asm.RSh.Imm(asm.R0, 16), asm.And.Imm(asm.R1, 0xffff), asm.Add.Reg(asm.R1, asm.R0))
	}
	p = append(p, asm.JNE.Imm(asm.R1, 0xffff, "drop"))
	p = append(p, fills(etherSize+2, etherSize)...)
	return append(p, asm.Ja.Label("inside"))
}

func (e tunnelEnd) outer6() asm.Instructions {
	p := labelled("ipv6", reach(etherSize+ipv6Size))
	p = append(p, matches(e.local6, etherSize+24, "mine6")...)
	for _, a := range e.bare {
		if a.Is6() {
			p = append(p, matches(a, etherSize+24, "drop")...)
		}
	}
	p = append(p, asm.Ja.Label("pass"))
	p = append(p, labelled("mine6", reach(etherSize+ipv6Size+ipv4Size))...)
	p = append(p,
		asm.LoadMem(asm.R0, asm.R7, etherSize+6, asm.Byte),
		asm.Mov.Imm(asm.R9, ipv6Size),
	)
	p = append(p, e.tunnelled("6")...)
	p = append(p, labelled("tunnel6", fills(etherSize+4, etherSize+ipv6Size))...)
	return append(p, asm.Ja.Label("inside"))
}

// tunnelled goes on at tunnel4 or tunnel6 for the protocols that may be ours.
func (e tunnelEnd) tunnelled(version string) asm.Instructions {
	if e.kind == GUE {
		return asm.Instructions{
			asm.JEq.Imm(asm.R0, protoIPIP, "drop"),
			asm.JEq.Imm(asm.R0, protoIPv6, "drop"),
			asm.JNE.Imm(asm.R0, protoUDP, "pass"),
			asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Reg(asm.R1, asm.R9),
			asm.LoadMem(asm.R1, asm.R1, etherSize+2, asm.Half),
			asm.JNE.Imm(asm.R1, onWire(GUEPort), "pass"),
			asm.Ja.Label("tunnel" + version),
		}
	}
	return asm.Instructions{
		asm.JEq.Imm(asm.R0, protoIPIP, "tunnel"+version),
		asm.JEq.Imm(asm.R0, protoIPv6, "tunnel"+version),
		asm.Ja.Label("pass"),
	}
}

// gue reads what stands behind the outer IP header, or goes by what is inside.
func (e tunnelEnd) gue() asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R2, asm.R7).WithSymbol("inside"),
		asm.Add.Reg(asm.R2, asm.R9),
	}
	if e.kind == GUE {
		p = append(p,
			asm.LoadMem(asm.R0, asm.R2, etherSize+4, asm.Half), // the UDP length
			asm.HostTo(asm.BE, asm.R0, asm.Half),
			asm.Add.Reg(asm.R0, asm.R9), asm.Add.Imm(asm.R0, etherSize),
			asm.Mov.Reg(asm.R1, asm.R8), asm.Sub.Reg(asm.R1, asm.R7),
			asm.JNE.Reg(asm.R0, asm.R1, "drop"),
			asm.LoadMem(asm.R0, asm.R2, etherSize+8, asm.Byte), // variant, control bit, length of options
			asm.JNE.Imm(asm.R0, 0, "drop"),
			asm.LoadMem(asm.R0, asm.R2, etherSize+10, asm.Half), // flags
			asm.JNE.Imm(asm.R0, 0, "drop"),
			asm.Add.Imm(asm.R2, gueSize), asm.Add.Imm(asm.R9, gueSize),
		)
	}
	return append(p,
		asm.LoadMem(asm.R0, asm.R2, etherSize, asm.Byte),
		asm.RSh.Imm(asm.R0, 4),
		asm.Mov.Imm(asm.R1, onWire(0x0800)),
		asm.JEq.Imm(asm.R0, 4, "strip"),
		asm.Mov.Imm(asm.R1, onWire(0x86dd)),
		asm.JEq.Imm(asm.R0, 6, "strip"),
		asm.Ja.Label("drop"),
	)
}

// strip moves the MAC addresses behind the outer header, and R1 as EtherType.
func strip() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R0, asm.R7, 0, asm.DWord).WithSymbol("strip"),
		asm.StoreMem(asm.RFP, -16, asm.R0, asm.DWord),
		asm.LoadMem(asm.R0, asm.R7, 8, asm.Word),
		asm.StoreMem(asm.RFP, -8, asm.R0, asm.Word),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Half),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.FnXdpAdjustHead.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word),
		asm.LoadMem(asm.R8, asm.R6, 4, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.Add.Imm(asm.R1, etherSize),
		asm.JGT.Reg(asm.R1, asm.R8, "drop"),
		asm.LoadMem(asm.R0, asm.RFP, -16, asm.DWord),
		asm.StoreMem(asm.R7, 0, asm.R0, asm.DWord),
		asm.LoadMem(asm.R0, asm.RFP, -8, asm.Word),
		asm.StoreMem(asm.R7, 8, asm.R0, asm.Word),
		asm.LoadMem(asm.R0, asm.RFP, -4, asm.Half),
		asm.StoreMem(asm.R7, 12, asm.R0, asm.Half),
	}
}

// reach passes a frame that is shorter.
func reach(size int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.Add.Imm(asm.R1, size),
		asm.JGT.Reg(asm.R1, asm.R8, "pass"),
	}
}

// matches jumps to a label if the address stands at the offset.
func matches(a netip.Addr, offset int16, label string) asm.Instructions {
	p := asm.Instructions{asm.Mov.Imm(asm.R2, 0)} // bits that differ
	for b := a.AsSlice(); len(b) > 0; b, offset = b[4:], offset+4 {
		p = append(p,
			asm.LoadMem(asm.R0, asm.R7, offset, asm.Word),
			asm.LoadImm(asm.R1, int64(binary.NativeEndian.Uint32(b)), asm.DWord),
			asm.Xor.Reg(asm.R0, asm.R1),
			asm.Or.Reg(asm.R2, asm.R0))
	}
	return append(p, asm.JEq.Imm(asm.R2, 0, label))
}

// fills drops a packet whose length at the offset, and what comes before it in
// the frame, is not the frame.
func fills(offset int16, before int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R0, asm.R7, offset, asm.Half),
		asm.HostTo(asm.BE, asm.R0, asm.Half),
		asm.Add.Imm(asm.R0, before),
		asm.Mov.Reg(asm.R1, asm.R8), asm.Sub.Reg(asm.R1, asm.R7),
		asm.JNE.Reg(asm.R0, asm.R1, "drop"),
	}
}

// labelled gives the first instruction a label to jump to.
func labelled(label string, p asm.Instructions) asm.Instructions {
	p[0] = p[0].WithSymbol(label)
	return p
}

// onWire is how a load of 16 bits sees a value that was sent.
func onWire(v uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// endTunnel guards a server's eth0 and has the outer header taken off: by the
// kernel's devices where it has them, else by the guard.
func (h Host) endTunnel(kind Tunnel, bare ...netip.Addr) error {
	e := tunnelEnd{local4: h.IPv4, local6: h.IPv6, bare: bare, kind: kind}
	err := h.addTunnels(kind)
	if errors.Is(err, errNoTunnels) {
		e.strip, err = true, nil
	}
	if err != nil {
		return err
	}
	return h.attachXDP("eth0", "netlab_tunnel", e.program())
}
