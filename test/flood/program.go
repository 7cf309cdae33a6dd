// SPDX-License-Identifier: Apache-2.0

package flood

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf/asm"
)

// Where the random fields are in the frame, and the sums that cover them.
const (
	ipSum, ipSource   = 14 + 10, 14 + 12
	tcpSource, tcpSeq = 14 + 20, 14 + 20 + 4
	tcpSum            = 14 + 20 + 16
)

// firstPort is a power of two: no SYN comes from a port below it.
const firstPort = 1024

// instructions write the frame into a packet, since the packet may be one that
// came back, and its random fields; then they send it out of the device of that
// index. R6 is the context, R7 begins the packet, and R8 and R9 sum up what the two
// checksums cover besides.
func instructions(frame []byte, from netip.Prefix, device int) asm.Instructions {
	first := from.Masked().Addr().As4()
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, 0, asm.Word),
		asm.LoadMem(asm.R1, asm.R6, 4, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R7), asm.Add.Imm(asm.R2, int32(len(frame))),
		asm.JGT.Reg(asm.R2, asm.R1, "out"),
	}
	p = append(p, write(frame)...)
	p = append(p,
		asm.FnGetPrandomU32.Call(),
		asm.And.Imm(asm.R0, 1<<(32-from.Bits())-1),
		asm.Mov.Imm32(asm.R1, int32(binary.BigEndian.Uint32(first[:]))),
		asm.Or.Reg(asm.R0, asm.R1),
		asm.HostTo(asm.BE, asm.R0, asm.Word),
		asm.StoreMem(asm.R7, ipSource, asm.R0, asm.Word),
		asm.Mov.Imm(asm.R8, 0),
	)
	p = append(p, addHalves(asm.R8)...)
	p = append(p, asm.Mov.Reg(asm.R9, asm.R8), asm.FnGetPrandomU32.Call(), asm.StoreMem(asm.R7, tcpSeq, asm.R0, asm.Word))
	p = append(p, addHalves(asm.R9)...)
	p = append(p,
		asm.FnGetPrandomU32.Call(),
		asm.And.Imm(asm.R0, 0xffff), asm.Or.Imm(asm.R0, firstPort),
		asm.HostTo(asm.BE, asm.R0, asm.Half),
		asm.StoreMem(asm.R7, tcpSource, asm.R0, asm.Half),
		asm.Add.Reg(asm.R9, asm.R0),
	)
	p = append(p, finish(frame, asm.R8, ipSum)...)
	p = append(p, finish(frame, asm.R9, tcpSum)...)
	return append(p,
		asm.Mov.Imm(asm.R1, int32(device)), asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), // XDP_ABORTED
		asm.Return(),
	)
}

// write stores the frame.
func write(frame []byte) (p asm.Instructions) {
	for at := 0; at < len(frame); at += 2 {
		p = append(p, asm.StoreImm(asm.R7, int16(at), int64(binary.NativeEndian.Uint16(frame[at:])), asm.Half))
	}
	return p
}

// addHalves adds the two halves of the 32 bits in R0, which it loses.
func addHalves(sum asm.Register) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R0), asm.And.Imm(asm.R1, 0xffff), asm.Add.Reg(sum, asm.R1),
		asm.RSh.Imm(asm.R0, 16), asm.And.Imm(asm.R0, 0xffff), asm.Add.Reg(sum, asm.R0),
	}
}

// finish takes the sum of what was zero when the frame was made into its checksum
// (RFC 1624). One's complement has no byte order.
func finish(frame []byte, sum asm.Register, at int16) asm.Instructions {
	p := asm.Instructions{asm.Add.Imm(sum, int32(^binary.NativeEndian.Uint16(frame[at:])))}
	for range 2 {
		p = append(p,
			asm.Mov.Reg(asm.R1, sum), asm.RSh.Imm(asm.R1, 16),
			asm.And.Imm(sum, 0xffff), asm.Add.Reg(sum, asm.R1))
	}
	return append(p, asm.Xor.Imm(sum, 0xffff), asm.StoreMem(asm.R7, at, sum, asm.Half))
}
