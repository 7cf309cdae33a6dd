// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// What an XDP program returns (enum xdp_action of linux/bpf.h).
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpTX       = 3
	xdpRedirect = 4
)

// What a tc program returns (linux/pkt_cls.h).
const (
	tcShot     = 2
	tcRedirect = 7
)

// hook is a place that a program sees packets at.
type hook struct {
	name       string
	kind       ebpf.ProgramType
	attach     ebpf.AttachType
	start, end int16 // where the ends of the packet are in the context, and
	index      int16 // the index of the interface
	send, drop uint32
}

var (
	atXDP = hook{name: viaXDP, kind: ebpf.XDP, attach: ebpf.AttachXDP, end: 4, index: 12, send: xdpTX, drop: xdpDrop}
	atTC  = hook{name: viaTC, kind: ebpf.SchedCLS, start: 76, end: 80, index: 40, send: tcRedirect, drop: tcShot}
)

func newXDP(name string, instructions asm.Instructions) (*ebpf.Program, error) {
	return atXDP.program(name, instructions)
}

func (h hook) program(name string, instructions asm.Instructions) (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: h.kind, AttachType: h.attach, License: "GPL", Instructions: instructions,
	})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	return p, nil
}

// returns returns that and does nothing else.
func returns(action int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, action), asm.Return()}
}

// swaps swaps the MAC addresses and sends: the least that a packet costs.
func swaps(h hook) asm.Instructions {
	const destination, source = 0, 6
	return append(asm.Instructions{
		asm.Mov.Imm(asm.R0, xdpPass),
		asm.LoadMem(asm.R2, asm.R1, h.start, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, h.end, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, etherSize),
		asm.JGT.Reg(asm.R4, asm.R3, "out"),
		asm.LoadMem(asm.R4, asm.R2, destination, asm.Word),
		asm.LoadMem(asm.R5, asm.R2, destination+4, asm.Half),
		asm.LoadMem(asm.R6, asm.R2, source, asm.Word),
		asm.LoadMem(asm.R7, asm.R2, source+4, asm.Half),
		asm.StoreMem(asm.R2, destination, asm.R6, asm.Word),
		asm.StoreMem(asm.R2, destination+4, asm.R7, asm.Half),
		asm.StoreMem(asm.R2, source, asm.R4, asm.Word),
		asm.StoreMem(asm.R2, source+4, asm.R5, asm.Half),
	}, append(h.back(), asm.Return().WithSymbol("out"))...)
}

// back sends to where the packet came from; the context is in R1.
func (h hook) back() asm.Instructions {
	if h.kind == ebpf.XDP {
		return asm.Instructions{asm.Mov.Imm(asm.R0, xdpTX)}
	}
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R1, h.index, asm.Word),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
	}
}

// redirects sends by another interface.
func redirects(index int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R1, int32(index)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
	}
}

// counts drops what is IP and counts it, by CPU, in the only row of the map. The
// rest passes: neighbours ask for each other.
func counts(m *ebpf.Map) asm.Instructions {
	const etherType, ipv4, ipv6 = 12, 0x0008, 0xdd86 // as a little-endian load sees them
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, etherSize),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, etherType, asm.Half),
		asm.JEq.Imm(asm.R4, ipv4, "count"),
		asm.JNE.Imm(asm.R4, ipv6, "pass"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word).WithSymbol("count"),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, xdpDrop),
		asm.Return(),
		asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"),
		asm.Return(),
	}
}
