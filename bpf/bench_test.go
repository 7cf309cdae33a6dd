// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/maitred-lb/maitred/test/packet"
)

// BenchmarkXDP measures the time that the program takes for a packet, beside
// the floor: a program that swaps the MAC addresses and sends. A test run that
// repeats does not restore the packet; so a program that does goes before, and
// its own time is taken off.
func BenchmarkXDP(b *testing.B) {
	r := newRig(b)
	for _, e := range exchanges() {
		get := []byte("GET / HTTP/1.1\r\nHost: example.net\r\nUser-Agent: benchmark\r\n\r\n")
		syn := e.syn(mssOption(1460)...)
		for _, bench := range []struct {
			name    string
			prog    *ebpf.Program
			frame   packet.TCP
			verdict uint32
		}{
			{"floor", swapProgram(b), syn, 3},
			{"syn", r.MaitredXdp, syn, 3},
			{"handshake", r.MaitredXdp, e.at(key0, 3, 0, 0, packet.TCP{Window: 502}), 1},
			{"request", r.MaitredXdp, e.at(key0, 3, 0, 0, packet.TCP{Window: 65535, Payload: get}), 3},
			{"orphan", r.MaitredXdp, e.at(key2, 3, 0, 0, packet.TCP{Window: 65535, Payload: get}), 3},
		} {
			b.Run(e.name+"/"+bench.name, func(b *testing.B) {
				frame := bench.frame.Bytes()
				with := measure(b, restoreProgram(b, frame, bench.prog), frame, bench.verdict)
				without := measure(b, restoreProgram(b, frame, returnProgram(b)), frame, 3)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(with-without)/float64(time.Nanosecond), "ns/packet")
			})
		}
	}
}

// measure gives the mean time of a program.
func measure(b *testing.B, p *ebpf.Program, frame []byte, verdict uint32) time.Duration {
	b.Helper()
	ret, mean, err := p.Benchmark(frame, max(b.N, 1000), nil)
	if err != nil {
		b.Fatal(err)
	}
	if ret != verdict {
		b.Fatalf("returned %d, want %d", ret, verdict)
	}
	return mean
}

func xdpProgram(b *testing.B, instructions asm.Instructions) *ebpf.Program {
	b.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: instructions,
	})
	if err != nil {
		b.Fatalf("%+v", err)
	}
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	return p
}

// returnProgram sends the packet as it is.
func returnProgram(b *testing.B) *ebpf.Program {
	return xdpProgram(b, asm.Instructions{asm.Mov.Imm(asm.R0, 3), asm.Return()})
}

// swapProgram swaps the MAC addresses and sends: the least that an answer costs.
func swapProgram(b *testing.B) *ebpf.Program {
	const data, dataEnd, destination, source = 0, 4, 0, 6
	return xdpProgram(b, asm.Instructions{
		asm.Mov.Imm(asm.R0, 2),
		asm.LoadMem(asm.R2, asm.R1, data, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, dataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 14),
		asm.JGT.Reg(asm.R4, asm.R3, "out"),
		asm.LoadMem(asm.R4, asm.R2, destination, asm.Word),
		asm.LoadMem(asm.R5, asm.R2, destination+4, asm.Half),
		asm.LoadMem(asm.R6, asm.R2, source, asm.Word),
		asm.LoadMem(asm.R7, asm.R2, source+4, asm.Half),
		asm.StoreMem(asm.R2, destination, asm.R6, asm.Word),
		asm.StoreMem(asm.R2, destination+4, asm.R7, asm.Half),
		asm.StoreMem(asm.R2, source, asm.R4, asm.Word),
		asm.StoreMem(asm.R2, source+4, asm.R5, asm.Half),
		asm.Mov.Imm(asm.R0, 3),
		asm.Return().WithSymbol("out"),
	})
}

// restoreProgram makes the packet the frame that it was, and goes on to next.
func restoreProgram(b *testing.B, frame []byte, next *ebpf.Program) *ebpf.Program {
	content := testMap(b, ebpf.Array, uint32(len(frame)), frame)
	calls := testMap(b, ebpf.ProgramArray, 4, uint32(next.FD()))
	return xdpProgram(b, asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnXdpGetBuffLen.Call(),
		asm.Mov.Imm(asm.R2, int32(len(frame))),
		asm.Sub.Reg(asm.R2, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.FnXdpAdjustTail.Call(),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, content.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Reg(asm.R3, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Imm(asm.R4, int32(len(frame))),
		asm.FnXdpStoreBytes.Call(),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, calls.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return().WithSymbol("out"),
	})
}

// testMap has one row.
func testMap(b *testing.B, kind ebpf.MapType, size uint32, value any) *ebpf.Map {
	b.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: kind, KeySize: 4, ValueSize: size, MaxEntries: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := m.Put(uint32(0), value); err != nil {
		b.Fatal(err)
	}
	return m
}
