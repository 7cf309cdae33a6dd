// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/packet"
)

// talk is a packet without its ends: NAT is to make of it the same between
// others.
type talk struct {
	udp     bool
	flags   packet.Flags
	payload []byte
	ip      packet.IP
	link    packet.Link
	sum     *uint16 // another checksum; 0 over UDP: none
}

func (k talk) between(src, dst netip.AddrPort) []byte {
	if k.udp {
		return packet.UDP{Src: src, Dst: dst, Payload: k.payload, IP: k.ip, Link: k.link, Checksum: k.sum}.Bytes()
	}
	return packet.TCP{
		Src: src, Dst: dst, Seq: clientISN, Ack: 77, Flags: k.flags, Window: 64240,
		Payload: k.payload, IP: k.ip, Link: k.link, Checksum: k.sum,
	}.Bytes()
}

// natKind is a way of doing NAT.
type natKind struct {
	name   string
	method DirectorMethod
	port   uint16 // the server's; 0: the service's
}

func natKinds() []natKind {
	return []natKind{
		{"gateway", DirectorMethodMETHOD_NAT, 8080},
		{"gateway, same port", DirectorMethodMETHOD_NAT, 0},
		{"full", DirectorMethodMETHOD_FULLNAT, 8080},
		{"full, same port", DirectorMethodMETHOD_FULLNAT, 0},
	}
}

// nat is a flow and the names that its ends have on the server's side.
type nat struct {
	traffic
	row    uint32
	server netip.AddrPort
	source netip.AddrPort // what the server takes for the client
}

// ownPort is the only port that full NAT has in tests that are to know it.
const ownPort = 20000

// ownAddr is one of the director's addresses for full NAT: the first is 0.
func ownAddr(v6 bool, i int) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:10::20%d", i))
	}
	return netip.MustParseAddr(fmt.Sprintf("10.0.0.20%d", i))
}

// setting is that of every rig with full NAT's addresses and ports added.
func natSetting(sources int, first, last uint16) DirectorForwardSetting {
	s := DirectorForwardSetting{
		TcpTimeout: 900, FinTimeout: 120, UdpTimeout: 300, FreshLimit: 1 << 30,
		Sources4: uint32(sources), Sources6: uint32(sources), PortFirst: first, PortLast: last,
	}
	for i := range sources {
		s.Source[i], s.Source[len(s.Source)/2+i] = words(ownAddr(false, i)), words(ownAddr(true, i))
	}
	return s
}

// newNATRig has full NAT's addresses, too.
func newNATRig(t testing.TB) *forwardRig {
	t.Helper()
	r := newForwardRig(t)
	for i := range 3 {
		for _, a := range []netip.Addr{ownAddr(false, i), ownAddr(true, i)} {
			if err := r.in.AddAddr("far", netip.PrefixFrom(a, a.BitLen())); err != nil {
				t.Fatal(err)
			}
			r.awaitLocal(t, a)
		}
	}
	return r
}

// awaitLocal waits until the kernel's tables know an address as this host's own:
// for IPv6 it puts it there behind the caller's back (addrconf_dad_work in
// net/ipv6/addrconf.c).
func (r *forwardRig) awaitLocal(t testing.TB, a netip.Addr) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		routes, err := r.in.Netlink().RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v is not local: %v, %v", a, routes, err)
		}
	}
}

// translate gives the service one server, by NAT of this kind, and forgets all
// flows.
func (r *forwardRig) translate(t testing.TB, x traffic, k natKind) nat {
	t.Helper()
	n := nat{traffic: x, row: x.rows()[0], source: x.client}
	port := x.vip.Port()
	if k.port != 0 {
		port = k.port
	}
	n.server = netip.AddrPortFrom(serverAddr(n.row), port)
	if k.method == DirectorMethodMETHOD_FULLNAT {
		n.source = netip.AddrPortFrom(ownAddr(x.client.Addr().Is6(), 0), ownPort)
	}
	for _, m := range []*ebpf.Map{r.Flows, r.Fresh, r.Bindings, r.Backs} {
		clearMap(t, m)
	}
	r.tune(t, natSetting(1, ownPort, ownPort))
	r.putServer(t, n.row, DirectorServer{State: DirectorServerStateSERVER_UP, Method: k.method, Port: wirePort(k.port)})
	r.putForward(t, x, DirectorForward{}, n.row)
	r.putBacks(t, n, uint16(x.id))
	return n
}

// putBacks says which services send to the server's address and port.
func (r *forwardRig) putBacks(t testing.TB, n nat, services ...uint16) {
	t.Helper()
	b := DirectorBack{Count: uint32(len(services))}
	copy(b.Service[:], services)
	put(t, r.Backs, endpoint(n.server, n.protocol()), b)
}

// out runs a packet of the client's and demands it at the server.
func (r *forwardRig) out(t testing.TB, p program, n nat, k talk, verdict DirectorVerdict) {
	t.Helper()
	k.udp = n.udp
	r.passed(t, p, n.traffic, k.between(n.client, n.vip), verdict,
		hopped(k.between(n.source, n.server), r.farMAC, serverMAC(n.row), false))
}

// back runs a packet of the server's and demands it at the client.
func (r *forwardRig) back(t testing.TB, p program, n nat, k talk) {
	t.Helper()
	k.udp, p.from = n.udp, r.far
	r.passed(t, p, n.traffic, k.between(n.server, n.source), DirectorVerdictFORWARD_BACK,
		hopped(k.between(n.vip, n.client), r.nearMAC, clientMAC, false))
}

// untouched runs a packet of the server's that is to be left alone.
func (r *forwardRig) untouched(t testing.TB, p program, n nat, k talk) {
	t.Helper()
	k.udp, p.from = n.udp, r.far
	n.id = 0
	r.passed(t, p, n.traffic, k.between(n.server, n.source), DirectorVerdictPASS_NO_SERVICE, nil)
}

// deferred runs a frame by XDP, which is to leave it to tc.
func (r *forwardRig) deferred(t testing.TB, from int, n nat, frame []byte) {
	t.Helper()
	p := r.programs()[0]
	p.from = from
	r.passed(t, p, n.traffic, frame, DirectorVerdictPASS_DEFERRED, nil)
}

// eachNAT runs a test for either program, all traffics and all kinds, each with
// a client that the rig has not seen yet and no flow of another.
func eachNAT(t *testing.T, f func(t *testing.T, r *forwardRig, p program, n nat)) {
	t.Helper()
	r := newNATRig(t)
	port := uint16(30000)
	for _, p := range r.programs() {
		for _, x := range played() {
			for _, k := range natKinds() {
				port++
				x := x.from(port)
				t.Run(fmt.Sprintf("%s %s %s", p.name, x.name, k.name), func(t *testing.T) {
					n := r.translate(t, x, k)
					f(t, r, p, n)
				})
			}
		}
	}
}

// clearMap removes all rows.
func clearMap(t testing.TB, m *ebpf.Map) {
	t.Helper()
	for {
		key, err := m.NextKeyBytes(nil)
		if err != nil {
			t.Fatal(err)
		}
		if key == nil {
			return
		}
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
	}
}

// gaveBack gives what of the way back a server's tally has more when it is called.
func (r *forwardRig) gaveBack(t testing.TB, row uint32) func() DirectorTally {
	t.Helper()
	read := func() (sum DirectorTally) {
		t.Helper()
		var each []DirectorTally
		if err := r.Tallies.Lookup(row, &each); err != nil {
			t.Fatal(err)
		}
		for _, c := range each {
			sum.BackPackets, sum.BackBytes = sum.BackPackets+c.BackPackets, sum.BackBytes+c.BackBytes
			sum.Opened, sum.Refused = sum.Opened+c.Opened, sum.Refused+c.Refused
		}
		return sum
	}
	before := read()
	return func() DirectorTally {
		t.Helper()
		now := read()
		return DirectorTally{
			BackPackets: now.BackPackets - before.BackPackets, BackBytes: now.BackBytes - before.BackBytes,
			Opened: now.Opened - before.Opened, Refused: now.Refused - before.Refused,
		}
	}
}

// bytesOf is a payload that no offset repeats soon.
func bytesOf(size int) []byte {
	return bytes.Repeat([]byte{1, 2, 3, 5, 8, 13, 21}, size/7+1)[:size]
}
