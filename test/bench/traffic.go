// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/maitred-lb/maitred/test/packet"
)

// ports is how many ports of an address are used, from firstPort on; so many
// flows come from one address, and more from the addresses after it.
const ports, firstPort = 60000, 1024

// unheard is a number of flows of which none comes twice in a run.
const unheard = 1 << 31

// frame is a frame to send, with places to write a client into: they are zero.
type frame struct {
	bytes  []byte
	client clientAt
	answer bool // it is made an answer, in place: its end changes, not its front
}

// clientAt is where the last 16 bits of the client's address and its port are,
// and the sums that they count for; a place of zero is none.
type clientAt struct{ address, port, ipSum, sum int16 }

// Offsets in a frame without tags.
const (
	etherSize   = 14
	ipv4Size    = 20
	ipv6Size    = 40
	ipv4Sum     = etherSize + 10
	portSize    = 2
	tcpSum      = 16
	ipv4Address = etherSize + 12
	ipv6Address = etherSize + 8
)

// newFrame is a TCP segment from a client, or to one if back is set. The
// addresses and the port of the client end in zeros.
func newFrame(segment packet.TCP, back bool) frame {
	f := frame{bytes: segment.Bytes()}
	address, size, l4 := int16(ipv4Address), int16(4), int16(etherSize+ipv4Size)
	f.client.ipSum = ipv4Sum
	if segment.Src.Addr().Is6() {
		address, size, l4 = ipv6Address, 16, etherSize+ipv6Size
		f.client.ipSum = 0
	}
	f.client.port = l4
	if back {
		address += size
		f.client.port += portSize
	}
	f.client.address, f.client.sum = address+size-2, l4+tcpSum
	return f
}

// source writes the frame into each packet, as from one client after the other,
// and hands it to a program.
type source struct {
	frame   frame
	hook    hook
	program *ebpf.Program
	state   *ebpf.Map
	calls   *ebpf.Map
}

// sourceState precedes the frame in the map.
type sourceState struct {
	Sent  uint32 // packets
	Flows uint32 // how many clients there are
	Times uint32 // each sends so many packets in a row, as a power of two
	_     uint32
}

const stateSize = 16

// newSource makes a source of frames for the program next.
func newSource(f frame, next *ebpf.Program) (s *source, err error) {
	s = &source{frame: f, hook: atXDP}
	if next.Type() == atTC.kind {
		s.hook = atTC
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make a source of packets: %w", err), s.Close())
		}
	}()
	spec := &ebpf.MapSpec{Name: "bench_source", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(stateSize+len(f.bytes)+7) &^ 7, MaxEntries: 1}
	if s.state, err = ebpf.NewMap(spec); err != nil {
		return s, err
	}
	calls := &ebpf.MapSpec{Name: "bench_next", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	if s.calls, err = ebpf.NewMap(calls); err != nil {
		return s, err
	}
	if err = s.calls.Put(uint32(0), uint32(next.FD())); err != nil {
		return s, err
	}
	s.program, err = s.hook.program("bench_source", s.instructions())
	return s, err
}

// Close gives the descriptors back.
func (s *source) Close() error {
	return errors.Join(s.program.Close(), s.state.Close(), s.calls.Close())
}

// begin sets how many clients there are, and lets each send 1<<times packets in
// a row. It begins with the client after so many.
func (s *source) begin(flows, times, after uint32) error {
	value, err := binary.Append(nil, binary.NativeEndian, sourceState{Sent: after << times, Flows: flows, Times: times})
	if err != nil {
		return err
	}
	value = append(value, s.frame.bytes...)
	return s.state.Put(uint32(0), append(value, make([]byte, int(s.state.ValueSize())-len(value))...))
}

// instructions: R6 is the context, R7 and R8 begin and end the frame, R9 is the
// state.
func (s *source) instructions() asm.Instructions {
	size := int32(len(s.frame.bytes))
	load := asm.Instructions{
		asm.LoadMem(asm.R7, asm.R6, s.hook.start, asm.Word), asm.LoadMem(asm.R8, asm.R6, s.hook.end, asm.Word),
	}
	p := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	p = append(p, load...)
	p = append(p, s.resize(size)...)
	p = append(p, load...)
	p = append(p,
		asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, size),
		asm.JGT.Reg(asm.R1, asm.R8, "out"),
		asm.LoadMapValue(asm.R9, s.state.FD(), 0),
	)
	p = append(p, s.choose()...)
	p = append(p, s.write()...)
	return append(p,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, s.calls.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), // XDP_ABORTED
		asm.Return(),
	)
}

// resize takes off what the program before has put on the frame. That is done even
// if it is nothing, so that it costs every program the same.
func (s *source) resize(size int32) asm.Instructions {
	context := asm.Mov.Reg(asm.R1, asm.R6)
	switch {
	case s.hook.kind == ebpf.SchedCLS:
		return asm.Instructions{asm.Mov.Imm(asm.R2, size), asm.Mov.Imm(asm.R3, 0), context, asm.FnSkbChangeTail.Call()}
	case s.frame.answer:
		return asm.Instructions{
			asm.Mov.Reg(asm.R2, asm.R7), asm.Sub.Reg(asm.R2, asm.R8), asm.Add.Imm(asm.R2, size), context, asm.FnXdpAdjustTail.Call(),
		}
	}
	return asm.Instructions{
		asm.Mov.Reg(asm.R2, asm.R8), asm.Sub.Reg(asm.R2, asm.R7), asm.Sub.Imm(asm.R2, size), context, asm.FnXdpAdjustHead.Call(),
	}
}

// choose leaves in R0 the client's port and in R2 the end of its address, as
// they stand in a frame.
func (s *source) choose() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R0, asm.R9, 0, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R0), asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R9, 0, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R9, 8, asm.Word),
		asm.And.Imm(asm.R1, 31), asm.RSh.Reg(asm.R0, asm.R1),
		asm.LoadMem(asm.R1, asm.R9, 4, asm.Word),
		asm.Mod.Reg(asm.R0, asm.R1),
		asm.Mov.Reg(asm.R2, asm.R0), asm.Div.Imm(asm.R2, ports),
		asm.Mov.Reg(asm.R1, asm.R2), asm.Mul.Imm(asm.R1, ports),
		asm.Sub.Reg(asm.R0, asm.R1), asm.Add.Imm(asm.R0, firstPort),
		asm.HostTo(asm.BE, asm.R0, asm.Half),
		asm.HostTo(asm.BE, asm.R2, asm.Half),
	}
}

// write copies the frame and puts R0 and R2 where they belong.
func (s *source) write() asm.Instructions {
	var p asm.Instructions
	for at, size := 0, 0; at < len(s.frame.bytes); at += size {
		width := asm.DWord
		for size = 8; at+size > len(s.frame.bytes); size /= 2 {
			width = map[int]asm.Size{8: asm.Word, 4: asm.Half, 2: asm.Byte}[size]
		}
		p = append(p,
			asm.LoadMem(asm.R1, asm.R9, int16(stateSize+at), width),
			asm.StoreMem(asm.R7, int16(at), asm.R1, width))
	}
	c := s.frame.client
	if c.port == 0 {
		return p
	}
	p = append(p,
		asm.StoreMem(asm.R7, c.port, asm.R0, asm.Half),
		asm.StoreMem(asm.R7, c.address, asm.R2, asm.Half))
	if c.ipSum != 0 {
		p = append(p, asm.Mov.Reg(asm.R1, asm.R2))
		p = append(p, s.sum(c.ipSum)...)
	}
	p = append(p, asm.Mov.Reg(asm.R1, asm.R0), asm.Add.Reg(asm.R1, asm.R2))
	return append(p, s.sum(c.sum)...)
}

// sum adds R1 to what a checksum covers (RFC 1624).
func (s *source) sum(at int16) asm.Instructions {
	was := binary.NativeEndian.Uint16(s.frame.bytes[at:])
	p := asm.Instructions{asm.Add.Imm(asm.R1, int32(^was))}
	for range 2 {
		p = append(p,
			asm.Mov.Reg(asm.R3, asm.R1), asm.RSh.Imm(asm.R3, 16),
			asm.And.Imm(asm.R1, 0xffff), asm.Add.Reg(asm.R1, asm.R3))
	}
	return append(p, asm.Xor.Imm(asm.R1, 0xffff), asm.StoreMem(asm.R7, at, asm.R1, asm.Half))
}
