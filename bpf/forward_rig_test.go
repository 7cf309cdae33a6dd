// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// forwardRig is a rig whose services have servers, in a namespace with one link
// to the clients and one to the servers, whose MAC addresses are known.
type forwardRig struct {
	*rig
	near, far       int // indexes of the interfaces
	nearMAC, farMAC packet.MAC
}

// The servers are in rows 1 to 3 for IPv4, and from 11 on for IPv6.
const (
	servers      = 3
	rows4, rows6 = 1, 11
)

func serverAddr(row uint32) netip.Addr {
	if row >= rows6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:10::%d", row))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", 10+row))
}

func serverMAC(row uint32) packet.MAC { return packet.MAC{2, 0, 0, 0, 0x10, byte(row)} }

// newForwardRig forwards all four services to three servers each, by dr and in
// turn; the first slot of each ring is the first server.
func newForwardRig(t testing.TB) *forwardRig {
	t.Helper()
	r := &forwardRig{rig: newSizedRig(t)}
	r.in = netlab.Make(t, "director")
	peer := netlab.Make(t, "peer")
	r.near, r.nearMAC = r.link(t, peer, "near", "192.0.2.254/24", "2001:db8:1::fe/64")
	r.far, r.farMAC = r.link(t, peer, "far", "10.0.0.254/24", "2001:db8:10::fe/64")
	if err := r.in.Forward(); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(servers) {
		for _, row := range []uint32{rows4 + i, rows6 + i} {
			r.neighbour(t, r.far, serverAddr(row), serverMAC(row))
			r.putServer(t, row, DirectorServer{State: DirectorServerStateSERVER_UP})
		}
	}
	r.neighbour(t, r.near, client4.Addr(), clientMAC)
	r.neighbour(t, r.near, client6.Addr(), clientMAC)
	r.allow(t, r.near, r.far)
	r.tune(t, DirectorForwardSetting{TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300, FreshLimit: 1 << 30})
	for _, x := range traffics() {
		r.putService(t, x, DirectorService{Mode: DirectorServiceModeMODE_SERVE})
		r.putForward(t, x, DirectorForward{}, x.rows()...)
	}
	return r
}

var clientMAC = packet.MAC{2, 0, 0, 0, 0xc, 1}

// link makes an interface of the director's, with XDP as a native interface has it.
func (r *forwardRig) link(t testing.TB, peer *netlab.Namespace, name string, addrs ...string) (int, packet.MAC) {
	t.Helper()
	end := netlab.End{In: r.in, Name: name}
	for _, a := range addrs {
		end.Addrs = append(end.Addrs, netip.MustParsePrefix(a))
	}
	if err := netlab.Veth(end, netlab.End{In: peer, Name: name}, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.in.PassXDP(name); err != nil {
		t.Fatal(err)
	}
	link, err := r.in.Netlink().LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Index, packet.MAC(link.Attrs().HardwareAddr)
}

func (r *forwardRig) neighbour(t testing.TB, link int, a netip.Addr, mac packet.MAC) {
	t.Helper()
	err := r.in.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: link, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: net.HardwareAddr(mac[:]),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// allow says that XDP may redirect to these interfaces.
func (r *forwardRig) allow(t testing.TB, indexes ...int) {
	t.Helper()
	for _, i := range indexes {
		put(t, r.Devices, uint32(i), DirectorDevice{Xdp: 1})
	}
}

func (r *forwardRig) tune(t testing.TB, s DirectorForwardSetting) {
	t.Helper()
	put(t, r.Forwarding, uint32(0), s)
}

// putServer puts a server with the address of its row. What each CPU knows of
// the way to it is forgotten.
func (r *forwardRig) putServer(t testing.TB, row uint32, s DirectorServer) {
	t.Helper()
	if s.Address == [4]uint32{} {
		s.Address = words(serverAddr(row))
	}
	put(t, r.Servers, row, s)
	put(t, r.Routes, row, make([]DirectorRoute, ebpf.MustPossibleCPU()))
}

func (r *forwardRig) putService(t testing.TB, x traffic, s DirectorService) {
	t.Helper()
	s.Id = uint32(x.id)
	put(t, r.Services, x.endpoint(), s)
}

// putForward puts a ring whose slots are these rows.
func (r *forwardRig) putForward(t testing.TB, x traffic, f DirectorForward, slots ...uint32) {
	t.Helper()
	spec := r.ringSpec.Copy()
	const part = 4 // RING_PART of types.h
	spec.MaxEntries = uint32(len(slots)+part-1)/part + 1
	ring, err := ebpf.NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	for i := 0; i < len(slots); i += part {
		var value [part]uint16
		for j := range min(part, len(slots)-i) {
			value[j] = uint16(slots[i+j])
		}
		put(t, ring, uint32(i/part), value)
	}
	put(t, r.Rings, uint32(x.id), uint32(ring.FD()))
	f.Service, f.Slots = x.endpoint(), uint32(len(slots))
	put(t, r.Forwards, uint32(x.id), f)
	put(t, r.Turns, uint32(x.id), uint32(0))
}

func put(t testing.TB, m *ebpf.Map, key, value any) {
	t.Helper()
	if err := m.Put(key, value); err != nil {
		t.Fatal(err)
	}
}

// flow reads the flow of a client's port: from fresh, or from flows.
func (r *forwardRig) flow(t testing.TB, x traffic) (f DirectorFlow, table string) {
	t.Helper()
	for name, m := range map[string]*ebpf.Map{"flows": r.Flows, "fresh": r.Fresh} {
		var got DirectorFlow
		switch err := m.Lookup(x.key(), &got); {
		case errors.Is(err, ebpf.ErrKeyNotExist):
		case err != nil:
			t.Fatal(err)
		case table != "":
			t.Errorf("the flow stands in %s and in %s", table, name)
		default:
			f, table = got, name
		}
	}
	return f, table
}

// age makes the flow look as if its last packet had been so long ago.
func (r *forwardRig) age(t testing.TB, x traffic, seconds uint16) {
	t.Helper()
	f, table := r.flow(t, x)
	f.Seen = now(t) - seconds
	put(t, map[string]*ebpf.Map{"flows": r.Flows, "fresh": r.Fresh}[table], x.key(), f)
}

// now is the time of flows.
func now(t testing.TB) uint16 { return uint16(uptime(t)) }

// uptime is the clock of the programs, in seconds.
func uptime(t testing.TB) int64 { return uptimeNS(t) / 1e9 }

func uptimeNS(t testing.TB) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

func (r *rig) tally(t testing.TB, row uint32) (sum DirectorTally) {
	t.Helper()
	var each []DirectorTally
	if err := r.Tallies.Lookup(row, &each); err != nil {
		t.Fatal(err)
	}
	for _, c := range each {
		sum.Packets, sum.Bytes, sum.Flows = sum.Packets+c.Packets, sum.Bytes+c.Bytes, sum.Flows+c.Flows
		sum.Lost += c.Lost
	}
	return sum
}

// tallied gives what a server's tally has more when it is called.
func (r *forwardRig) tallied(t testing.TB, row uint32) func() DirectorTally {
	t.Helper()
	before := r.tally(t, row)
	return func() DirectorTally {
		t.Helper()
		now := r.tally(t, row)
		return DirectorTally{
			Packets: now.Packets - before.Packets, Bytes: now.Bytes - before.Bytes,
			Flows: now.Flows - before.Flows, Lost: now.Lost - before.Lost,
		}
	}
}

// programs are those of the rig, with frames that come in by the clients' link.
func (r *forwardRig) programs() []program {
	all := r.rig.programs()
	for i := range all {
		all[i].from = r.near
	}
	return all
}

// forEach runs a test for either program and all traffics, each with a client
// that the rig has not seen yet.
func forEach(t *testing.T, f func(t *testing.T, r *forwardRig, p program, x traffic)) {
	t.Helper()
	r := newForwardRig(t)
	for i := range r.programs() {
		for _, x := range played() {
			x.client = netip.AddrPortFrom(x.client.Addr(), x.client.Port()+uint16(i))
			t.Run(r.programs()[i].name+" "+x.name, func(t *testing.T) { f(t, r, r.programs()[i], x) })
		}
	}
}

// passed runs a frame and demands the verdict, the value returned, and every
// byte of what the program left: want, or the frame as it was if that is nil.
func (r *forwardRig) passed(t testing.TB, p program, x traffic, frame []byte, verdict DirectorVerdict, want []byte) {
	t.Helper()
	before := r.counts(t)
	ret, out, err := p.run(frame)
	if err != nil {
		t.Fatal(err)
	}
	line := counted(x.id, r.names[verdict], 1, uint64(len(frame)))
	if p.name == "xdp" && verdict < DirectorVerdictPASS_DEFERRED {
		line = "" // tc counts it
	}
	if got := r.since(before, r.counts(t)); got != line {
		t.Errorf("counted %s, want %s", got, line)
	}
	if ret != p.expected(verdict) {
		t.Errorf("returned %d, want %d", int32(ret), int32(p.expected(verdict)))
	}
	if want == nil {
		want = frame
	}
	if !bytes.Equal(out, want) {
		t.Errorf("frame is wrong:\n in  %x\n out %x\n want %x", frame, out, want)
	}
}

// hopped is the frame as a router sends it on: with a hop less, between these
// addresses, and without tags unless they are to be kept.
func hopped(frame []byte, src, dst packet.MAC, tags bool) []byte {
	const addresses, tag = 12, 4
	l3 := addresses
	for binary.BigEndian.Uint16(frame[l3:]) == packet.TPID8021Q || binary.BigEndian.Uint16(frame[l3:]) == packet.TPID8021AD {
		l3 += tag
	}
	out := append(dst[:], src[:]...)
	if tags {
		out = append(out, frame[addresses:l3]...)
	}
	ip := len(out) + 2
	out = append(out, frame[l3:]...)
	if out[ip]>>4 == 6 {
		out[ip+7]--
		return out
	}
	header := out[ip : ip+int(out[ip]&15)*4]
	header[8]--
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], packet.Checksum(header))
	return out
}

// toServer is the frame as the server of a row is to get it.
func (r *forwardRig) toServer(frame []byte, row uint32) []byte {
	return hopped(frame, r.farMAC, serverMAC(row), false)
}

// traffic is a client and a service of one transport in one IP version.
type traffic struct {
	exchange
	udp bool
}

// played are the traffics that most tests go through: where time is short, as on
// an emulated machine, one of each protocol and each family.
func played() []traffic {
	all := traffics()
	if testing.Short() {
		return []traffic{all[0], all[3]}
	}
	return all
}

func traffics() []traffic {
	var all []traffic
	for _, e := range exchanges() {
		udp := e
		udp.id = e.id + idUDP4 - id4
		udp.name = "udp " + e.name
		e.name = "tcp " + e.name
		all = append(all, traffic{e, false}, traffic{udp, true})
	}
	return all
}

func (x traffic) protocol() uint8 {
	if x.udp {
		return packet.ProtoUDP
	}
	return packet.ProtoTCP
}

func (x traffic) endpoint() DirectorEndpoint { return endpoint(x.vip, x.protocol()) }

func (x traffic) key() DirectorFlowKey {
	return DirectorFlowKey{Client: words(x.client.Addr()), Port: wirePort(x.client.Port()), Service: uint16(x.id)}
}

// rows are those of the three servers.
func (x traffic) rows() []uint32 {
	first := uint32(rows4)
	if x.client.Addr().Is6() {
		first = rows6
	}
	return []uint32{first, first + 1, first + 2}
}

// from is the same with another port of the client's.
func (x traffic) from(port uint16) traffic {
	x.client = netip.AddrPortFrom(x.client.Addr(), port)
	return x
}

// frame is a segment or datagram with a payload of so many bytes.
func (x traffic) frame(flags packet.Flags, size int, ip packet.IP, link packet.Link) []byte {
	payload := tail(bytes.Repeat([]byte{0x5a}, size))
	if x.udp {
		return packet.UDP{Src: x.client, Dst: x.vip, Payload: payload, IP: ip, Link: link}.Bytes()
	}
	return packet.TCP{
		Src: x.client, Dst: x.vip, Seq: clientISN, Ack: 77, Flags: flags, Window: 64240,
		Payload: payload, IP: ip, Link: link,
	}.Bytes()
}

// first opens a flow.
func (x traffic) first() []byte { return x.frame(packet.SYN, 0, packet.IP{}, packet.Link{}) }

// next is of a flow that is open.
func (x traffic) next() []byte {
	return x.frame(packet.ACK|packet.PSH, 100, packet.IP{}, packet.Link{})
}

// forget removes the flow.
func (r *forwardRig) forget(t testing.TB, x traffic) {
	t.Helper()
	for _, m := range []*ebpf.Map{r.Flows, r.Fresh} {
		if err := m.Delete(x.key()); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
	}
}
