// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/maitred-lb/maitred/test/packet"
)

// passenger is a packet for a tunnel, and the packet that is to be inside.
type passenger struct {
	name   string
	client netip.AddrPort
	id     int
	link   packet.Link
	ip     packet.IP
	outer  packet.IP // less the flow label
	bytes  func(packet.IP, packet.Link) []byte
	tcOnly bool
}

func tcpBytes(client, vip netip.AddrPort, payload int) func(packet.IP, packet.Link) []byte {
	return func(ip packet.IP, l packet.Link) []byte {
		return packet.TCP{
			Src: client, Dst: vip, Flags: packet.SYN, Seq: 7, MSS: 1460, IP: ip, Link: l, Payload: testPage(payload, 0).bytes,
		}.Bytes()
	}
}

func udpBytes(client, vip netip.AddrPort, payload int) func(packet.IP, packet.Link) []byte {
	return func(ip packet.IP, l packet.Link) []byte {
		return packet.UDP{Src: client, Dst: vip, IP: ip, Link: l, Payload: testPage(payload, 0).bytes}.Bytes()
	}
}

func passengers() []passenger {
	df := packet.IP{DF: true}
	ext := []packet.Extension{{Proto: packet.ProtoDestOpts, Body: make([]byte, 6)}}
	padded := packet.Link{Trailer: []byte{1, 2, 3, 4, 5, 6}}
	return []passenger{
		{name: "tcp", client: client4, id: id4, bytes: tcpBytes(client4, vip4, 0)},
		{name: "tcp, DF", client: client4, id: id4, ip: df, outer: df, bytes: tcpBytes(client4, vip4, 1000)},
		{name: "tcp, padded frame", client: client4, id: id4, ip: df, outer: df, link: padded, bytes: tcpBytes(client4, vip4, 1)},
		{name: "tcp, DSCP and ECN", client: client4, id: id4, ip: packet.IP{TOS: 0xbb}, outer: packet.IP{TOS: 0xbb}, bytes: tcpBytes(client4, vip4, 10)},
		{name: "tcp, options", client: client4, id: id4, ip: packet.IP{Options: []byte{1, 1, 1, 0}}, bytes: tcpBytes(client4, vip4, 10)},
		{name: "tcp, last hop but one", client: client4, id: id4, ip: packet.IP{TTL: 2}, bytes: tcpBytes(client4, vip4, 10)},
		{name: "udp", client: client4, id: id4, bytes: udpBytes(client4, vip4, 1472)},
		{name: "first fragment", client: client4, id: id4, ip: packet.IP{MF: true, ID: 9}, tcOnly: true, bytes: udpBytes(client4, vip4, 1472)},
		{name: "tcp6", client: client6, id: id6, outer: df, bytes: tcpBytes(client6, vip6, 0)},
		{name: "tcp6, class and label", client: client6, id: id6, ip: packet.IP{TOS: 0xbb, FlowLabel: 0x12345},
			outer: packet.IP{TOS: 0xbb, DF: true}, bytes: tcpBytes(client6, vip6, 1001)},
		{name: "tcp6, extension", client: client6, id: id6, ip: packet.IP{Extensions: ext}, outer: df, bytes: tcpBytes(client6, vip6, 3)},
		{name: "udp6, padded frame", client: client6, id: id6, link: padded, outer: df, bytes: udpBytes(client6, vip6, 9)},
	}
}

// inner is the packet as it is to be in the tunnel: one hop on.
func (p passenger) inner() []byte {
	ip := p.ip
	if ip.TTL == 0 {
		ip.TTL = 64
	}
	ip.TTL--
	return packet.Datagram(p.bytes(ip, packet.Link{}))
}

// tunnelKind is a tunnel in one of its forms.
type tunnelKind struct {
	name         string
	source, dest netip.Addr
	kind         DirectorTunnel
}

func tunnelKinds() []tunnelKind {
	return []tunnelKind{
		{"in ipv4", near4, far4, DirectorTunnelTUNNEL_IPIP},
		{"in ipv6", near6, far6, DirectorTunnelTUNNEL_IPIP},
		{"in gue, ipv4", near4, far4, DirectorTunnelTUNNEL_GUE},
		{"in gue, ipv6", near6, far6, DirectorTunnelTUNNEL_GUE},
	}
}

func (k tunnelKind) server() DirectorServer { return tunnelTo(k.source, k.dest, k.kind) }

// overhead is in bytes.
func (k tunnelKind) overhead() int {
	n := 20
	if k.dest.Is6() {
		n = 40
	}
	if k.kind == DirectorTunnelTUNNEL_GUE {
		n += 12
	}
	return n
}

// wrap is the frame with the packet in the tunnel, for a client's flow.
func (k tunnelKind) wrap(inner []byte, client netip.AddrPort, outer packet.IP, link packet.Link) []byte {
	hash := flowHash(client)
	link.Src, link.Dst = laneSource, laneTarget
	t := packet.Tunnel{Src: k.source, Dst: k.dest, Inner: inner, IP: outer, Link: link}
	if k.dest.Is6() {
		t.IP.FlowLabel = hash & 0xfffff
	}
	if k.kind == DirectorTunnelTUNNEL_GUE {
		t.GUE = &packet.GUE{SrcPort: 0xc000 | uint16(hash)&0x3fff, DstPort: gueService}
	}
	return t.Bytes()
}

// flowHash is client_hash of pick.h, its better half.
func flowHash(client netip.AddrPort) uint32 {
	const a, b = 0x9e3779b97f4a7c15, 0x6a09e667f3bcc909
	mix := func(h uint64) uint64 {
		h *= a
		h ^= h >> 32
		h *= b
		return h ^ h>>29
	}
	address := client.Addr().As16()
	high, low := binary.LittleEndian.Uint64(address[:]), binary.LittleEndian.Uint64(address[8:])
	return uint32(mix(mix(high+b)+low+uint64(wirePort(client.Port()))*b) >> 32)
}

// eachTunnel runs a test for every form of tunnel.
func eachTunnel(t *testing.T, l *lane, f func(t *testing.T, k tunnelKind)) {
	for _, k := range tunnelKinds() {
		t.Run(k.name, func(t *testing.T) {
			l.send(t, k.server())
			f(t, k)
		})
	}
}

// TestTunnelBytes compares every byte of what goes into a tunnel with what
// another implementation makes of it.
func TestTunnelBytes(t *testing.T) {
	l := newLane(t)
	eachTunnel(t, l, func(t *testing.T, k tunnelKind) {
		for _, p := range passengers() {
			for _, program := range l.programs() {
				t.Run(p.name+"/"+program.name, func(t *testing.T) {
					l.send(t, k.server())
					frame := p.bytes(p.ip, p.link)
					want := result{DirectorVerdictFORWARD_OPEN, p.id, k.wrap(p.inner(), p.client, p.outer, p.link)}
					if p.tcOnly && program.name == "xdp" {
						want = result{verdict: DirectorVerdictPASS_DEFERRED, id: p.id}
					}
					l.expect(t, program, frame, want)
				})
			}
		}
	})
}

// TestTunnelTags: XDP keeps the tags of a frame that leaves as it came. What tc
// does with them a test run does not show: see TestTagsOnTheWire.
func TestTunnelTags(t *testing.T) {
	l := newLane(t)
	eachTunnel(t, l, func(t *testing.T, k tunnelKind) {
		for _, tags := range [][]uint16{{7}, {7, 0x2008}} {
			for _, p := range passengers() {
				if p.tcOnly {
					continue
				}
				t.Run(fmt.Sprintf("%s, %d tags", p.name, len(tags)), func(t *testing.T) {
					l.send(t, k.server())
					p.link.VLANs = tags
					want := k.wrap(p.inner(), p.client, p.outer, p.link)
					l.expect(t, l.programs()[0], p.bytes(p.ip, p.link), result{DirectorVerdictFORWARD_OPEN, p.id, want})
				})
			}
		}
	})
}

// TestTunnelIdentification: where routers may cut the outer packet, two of them
// must not be taken for parts of one (RFC 6864, 4.2).
func TestTunnelIdentification(t *testing.T) {
	l := newLane(t)
	l.send(t, tunnelTo(near4, far4, DirectorTunnelTUNNEL_IPIP))
	for _, p := range l.programs() {
		t.Run(p.name, func(t *testing.T) {
			const n = 64
			ids := map[uint16]bool{}
			for range n {
				_, out, err := p.run(tcpBytes(client4, vip4, 0)(packet.IP{}, packet.Link{}))
				if err != nil {
					t.Fatal(err)
				}
				ids[binary.BigEndian.Uint16(out[14+4:])] = true
			}
			if len(ids) < n-8 { // by chance, one pair in 65536 is equal
				t.Errorf("%d packets have %d identifications", n, len(ids))
			}
		})
	}
}

// TestTunnelMTU: a packet goes through whole if it fits with its outer header,
// and if it does not, no byte of it is touched by XDP.
func TestTunnelMTU(t *testing.T) {
	l := newLane(t)
	l.mtu = 1500
	eachTunnel(t, l, func(t *testing.T, k tunnelKind) {
		for _, e := range exchanges() {
			fits := 1500 - k.overhead() - int(e.headers) - 4 // the option
			t.Run(e.name, func(t *testing.T) {
				ip := packet.IP{DF: true}
				for _, program := range l.programs() {
					l.send(t, k.server())
					p := passenger{client: e.client, ip: ip, outer: ip, bytes: tcpBytes(e.client, e.vip, fits)}
					l.expect(t, program, p.bytes(ip, packet.Link{}),
						result{DirectorVerdictFORWARD_OPEN, e.id, k.wrap(p.inner(), e.client, p.outer, packet.Link{})})
				}
				l.expect(t, l.programs()[0], tcpBytes(e.client, e.vip, fits+1)(ip, packet.Link{}),
					result{verdict: DirectorVerdictPASS_DEFERRED, id: e.id})
			})
		}
	})
}

// TestTunnelNoRoom: where the driver has left no room before the frame XDP leaves
// the packet to tc, untouched.
func TestTunnelNoRoom(t *testing.T) {
	l := newLane(t)
	eachTunnel(t, l, func(t *testing.T, k tunnelKind) {
		for _, e := range exchanges() {
			frame := tcpBytes(e.client, e.vip, 20)(packet.IP{}, packet.Link{})
			for _, room := range []int{0, k.overhead() - 1, k.overhead()} {
				t.Run(fmt.Sprintf("%s, room for %d bytes", e.name, room), func(t *testing.T) {
					l.send(t, k.server())
					p := l.programs()[0]
					p.prog = crampedProgram(t, len(frame), room, p.prog)
					ret, out, err := p.run(frame)
					if err != nil {
						t.Fatal(err)
					}
					if room == k.overhead() {
						if ret != p.send || len(out) != len(frame)+room {
							t.Errorf("returned %d with %d bytes", ret, len(out))
						}
						return
					}
					if ret != p.pass || string(out) != string(frame) {
						t.Errorf("returned %d:\n in %x\nout %x", ret, frame, out)
					}
				})
			}
		}
	})
}

// crampedProgram moves the frame to the front of its buffer, but for the room
// that is to be left, and goes on to next. A test run has 256 bytes before the
// frame, of which the kernel keeps 40 (struct xdp_frame).
func crampedProgram(t *testing.T, length, room int, next *ebpf.Program) *ebpf.Program {
	t.Helper()
	const before, kept = 256, 40
	by := int32(before - kept - room)
	calls, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = calls.Close() })
	if err := calls.Put(uint32(0), uint32(next.FD())); err != nil {
		t.Fatal(err)
	}
	move := func(call asm.BuiltinFunc, at int32) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, at),
			asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -256),
			asm.Mov.Imm(asm.R4, int32(length)),
			call.Call(), asm.JNE.Imm(asm.R0, 0, "out"),
		}
	}
	resize := func(call asm.BuiltinFunc) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, -by),
			call.Call(), asm.JNE.Imm(asm.R0, 0, "out"),
		}
	}
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	code = append(code, move(asm.FnXdpLoadBytes, 0)...)
	code = append(code, resize(asm.FnXdpAdjustHead)...)
	code = append(code, move(asm.FnXdpStoreBytes, 0)...)
	code = append(code, resize(asm.FnXdpAdjustTail)...)
	code = append(code,
		asm.Mov.Reg(asm.R1, asm.R6), asm.LoadMapPtr(asm.R2, calls.FD()), asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: code})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
