// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/bpf"
)

// small is what most tests of forwarding take.
var small = Options{Forwarding: true, Flows: 8192, FullNAT: true}

func openWith(t *testing.T, path string, o Options) *Maps {
	t.Helper()
	m, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func (m *Maps) reopenWith(t *testing.T, path string, o Options) *Maps {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return openWith(t, path, o)
}

func serverID(n int, method Method) ServerID {
	addr := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
	return ServerID{Pool: 1, Addr: netip.AddrPortFrom(addr, 80), Method: method}
}

func up(t *testing.T, m *Maps, ids ...ServerID) {
	t.Helper()
	for _, id := range ids {
		mustDo(t, m.PutServer(id, Server{State: ServerUp}))
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ringOfAll has n slots, in turn for each server.
func ringOfAll(digest uint64, n int, ids ...ServerID) Ring {
	r := Ring{Digest: digest, Servers: ids, Slots: make([]uint16, n)}
	for i := range r.Slots {
		r.Slots[i] = uint16(i % len(ids))
	}
	return r
}

func wantSame[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	same := cmp.Options{
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
	if d := cmp.Diff(want, got, same); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestServersAreReadAsWritten(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, small)
	want := map[ServerID]Server{
		serverID(1, MethodDR): {State: ServerUp, Interface: 3, Gateway: netip.MustParseAddr("10.0.0.254")},
		{
			Pool: 7, Addr: netip.MustParseAddrPort("[2001:db8::5]:0"), Method: MethodTUN, Tunnel: TunnelGUE, TunnelPort: 6080,
		}: {State: ServerDrain, Source: netip.MustParseAddr("2001:db8::1"), MTU: 1400},
		serverID(3, MethodFullNAT): {State: ServerDown},
	}
	for id, s := range want {
		mustDo(t, m.PutServer(id, s))
	}
	check := func() {
		t.Helper()
		got, err := m.Servers()
		mustDo(t, err)
		wantSame(t, "servers", want, got)
	}
	check()
	rows := fmt.Sprint(m.rowOf)
	m = m.reopenWith(t, path, small)
	check()
	if got := fmt.Sprint(m.rowOf); got != rows {
		t.Errorf("rows after a restart: %s, before %s", got, rows)
	}
	gone := serverID(3, MethodFullNAT)
	was := m.rowOf[gone]
	for range 2 { // the second is of what is gone
		mustDo(t, m.DeleteServer(gone))
	}
	delete(want, gone)
	check()
	up(t, m, serverID(4, MethodDR))
	if m.rowOf[serverID(4, MethodDR)] == was {
		t.Error("a row that was just freed is the first to be given away")
	}
}

func TestMappedAddressIsTheSameServer(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	id := serverID(1, MethodDR)
	mapped := id
	mapped.Addr = netip.AddrPortFrom(netip.AddrFrom16(id.Addr.Addr().As16()), id.Addr.Port())
	up(t, m, id, mapped)
	got, err := m.Servers()
	mustDo(t, err)
	wantSame(t, "servers", map[ServerID]Server{id: {State: ServerUp}}, got)
}

func TestBadServers(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	good := serverID(1, MethodDR)
	for name, c := range map[string]struct {
		id ServerID
		s  Server
	}{
		"no state":      {good, Server{}},
		"unknown state": {good, Server{State: 9}},
		"no address":    {ServerID{Pool: 1}, Server{State: ServerUp}},
		"bad method":    {serverID(1, 9), Server{State: ServerUp}},
		"bad MTU":       {good, Server{State: ServerUp, MTU: -1}},
	} {
		if err := m.PutServer(c.id, c.s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	off := openWith(t, pinPathNamed(t, "off"), Options{})
	if err := off.PutServer(good, Server{State: ServerUp}); !errors.Is(err, ErrNoRow) {
		t.Errorf("a server without forwarding: %v", err)
	}
}

func TestRouteIsForgottenWhenAServerChanges(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	id := serverID(1, MethodDR)
	up(t, m, id)
	at := uint32(m.rowOf[id])
	kept := func() bool {
		var got []bpf.DirectorRoute
		mustDo(t, m.engine.Routes.Lookup(at, &got))
		return got[0].Interface == 5
	}
	fill := func() {
		routes, err := zeroes[bpf.DirectorRoute]()
		mustDo(t, err)
		for i := range routes {
			routes[i].Interface = 5
		}
		mustDo(t, m.engine.Routes.Put(at, routes))
	}
	for _, c := range []struct {
		name string
		s    Server
		kept bool
	}{
		{"the same", Server{State: ServerUp}, true},
		{"another state", Server{State: ServerDrain}, true},
		{"another gateway", Server{State: ServerDrain, Gateway: netip.MustParseAddr("10.0.0.9")}, false},
	} {
		fill()
		mustDo(t, m.PutServer(id, c.s))
		if kept() != c.kept {
			t.Errorf("%s: the way is kept: %t", c.name, kept())
		}
	}
}

func TestTallies(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	id := serverID(1, MethodNAT)
	up(t, m, id, serverID(2, MethodNAT))
	tally := func() {
		rows, err := zeroes[bpf.DirectorTally]()
		mustDo(t, err)
		for i := range rows {
			rows[i] = bpf.DirectorTally{Packets: 1, Bytes: 2, Flows: 3, BackPackets: 4, BackBytes: 5, Opened: 6, Refused: 7, Lost: 8}
		}
		mustDo(t, m.engine.Tallies.Put(uint32(m.rowOf[id]), rows))
	}
	tally()
	rows, err := zeroes[bpf.DirectorTally]()
	mustDo(t, err)
	n := uint64(len(rows))
	got, err := m.Tallies()
	mustDo(t, err)
	wantSame(t, "tallies", map[ServerID]Tally{
		id:                     {Packets: n, Bytes: 2 * n, Flows: 3 * n, BackPackets: 4 * n, BackBytes: 5 * n, Opened: 6 * n, Refused: 7 * n, Lost: 8 * n},
		serverID(2, MethodNAT): {},
	}, got)
	mustDo(t, m.DeleteServer(id))
	m.lastRow-- // as if all others were taken
	m.lastRow--
	up(t, m, id)
	if got, err := m.Tallies(); err != nil || got[id] != (Tally{}) {
		t.Errorf("a new server begins with %+v, %v", got[id], err)
	}
}

func TestSettingIsReadAsWritten(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, small)
	if got, err := m.Forwarding(); err != nil || got.TCP != 0 {
		t.Errorf("before it is set: %+v, %v", got, err)
	}
	want := Setting{
		Sources:   addrs("10.0.0.1 10.0.0.2 10.0.0.3 2001:db8::1"),
		PortFirst: 1024, PortLast: 32767, TCP: 15 * time.Minute, FIN: 2 * time.Minute, UDP: 5 * time.Minute, Probes: true,
	}
	mustDo(t, m.SetForwarding(want))
	m = m.reopenWith(t, path, small)
	got, err := m.Forwarding()
	mustDo(t, err)
	wantSame(t, "setting", want, got)
	row, err := m.forwarding()
	mustDo(t, err)
	if cpus, err := onlineCPUs(); err != nil || row.FreshLimit != 4096/30/uint32(cpus) {
		t.Errorf("fresh limit %d with %d CPUs, %v", row.FreshLimit, cpus, err)
	}
	want.Sources, want.Probes = addrs("2001:db8::2 10.0.0.4 10.0.0.3 10.0.0.1"), false
	mustDo(t, m.SetForwarding(want))
	if row, err = m.forwarding(); err != nil {
		t.Fatal(err)
	}
	if row.Source[0] != addrTo(want.Sources[3]) || row.Source[2] != addrTo(want.Sources[2]) {
		t.Error("addresses that stay have lost their places")
	}
	want.Sources = addrs("10.0.0.1 10.0.0.3 10.0.0.4 2001:db8::2")
	if got, err = m.Forwarding(); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "setting, later", want, got)
}

func TestBadSettings(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	good := Setting{PortFirst: 1024, PortLast: 2048, TCP: time.Minute, FIN: time.Minute, UDP: time.Minute}
	mustDo(t, m.SetForwarding(good))
	for name, change := range map[string]func(*Setting){
		"no ports":     func(s *Setting) { s.PortLast = 1 },
		"long timeout": func(s *Setting) { s.TCP = 10 * time.Hour },
		"no timeout":   func(s *Setting) { s.UDP = 0 },
		"bad source":   func(s *Setting) { s.Sources = []netip.Addr{{}} },
		"17 sources": func(s *Setting) {
			for i := range 17 {
				s.Sources = append(s.Sources, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
			}
		},
	} {
		bad := good
		change(&bad)
		if err := m.SetForwarding(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	got, err := m.Forwarding()
	mustDo(t, err)
	wantSame(t, "setting after the failures", good, got)
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,7": 5, "0,2-3,8-15": 11, "": 0, "a": 0, "3-1": 0, "1-x": 0} {
		if got, err := countCPUs(list); got != want && want != 0 || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", list, got, err)
		}
	}
	if freshLimit(4096, 256) != 1 {
		t.Error("no flow at all may be noted")
	}
}

func TestBacksMarksAndDevices(t *testing.T) {
	path := pinPath(t)
	m := openWith(t, path, small)
	id := serverID(1, MethodNAT)
	up(t, m, id)
	back := Key{Addr: id.Addr, Proto: 6}
	if err := m.PutBack(back, []Key{keyA}); err == nil {
		t.Error("the way back to a service without an id was accepted")
	}
	if err := m.PutBack(back, make([]Key, 17)); err == nil {
		t.Error("17 services were accepted")
	}
	if err := m.PutMark(1, serverID(9, MethodDR)); err == nil {
		t.Error("a mark of a server without a row was accepted")
	}
	mustDo(t, m.PutForward(keyA, Forward{}))
	mustDo(t, m.PutService(keyB, Service{}))
	tunnel := Key{Addr: netip.MustParseAddrPort("10.0.0.9:0"), Proto: 4}
	mustDo(t, m.PutBack(back, []Key{keyB, keyA}))
	mustDo(t, m.PutBack(tunnel, nil))
	mustDo(t, m.PutMark(0x100, id))
	mustDo(t, m.PutDevice(2, true))
	mustDo(t, m.PutDevice(3, false))
	m = m.reopenWith(t, path, small)
	backs, err := m.Backs()
	mustDo(t, err)
	wantSame(t, "ways back", map[Key][]Key{back: {keyB, keyA}, tunnel: {}}, backs)
	marks, err := m.Marks()
	mustDo(t, err)
	wantSame(t, "marks", map[uint32]ServerID{0x100: id}, marks)
	devices, err := m.Devices()
	mustDo(t, err)
	wantSame(t, "devices", map[int]bool{2: true, 3: false}, devices)

	mustDo(t, m.DeleteServer(id)) // and its mark
	for range 2 {                 // the second is of what is gone
		mustDo(t, m.DeleteBack(back))
		mustDo(t, m.DeleteMark(0x100))
		mustDo(t, m.DeleteDevice(2))
	}
	backs, _ = m.Backs()
	marks, _ = m.Marks()
	devices, _ = m.Devices()
	if len(backs) != 1 || len(marks) != 0 || len(devices) != 1 {
		t.Errorf("after the deletions: %v, %v, %v", backs, marks, devices)
	}
}

func addrs(list string) (out []netip.Addr) {
	for _, s := range strings.Fields(list) {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}
