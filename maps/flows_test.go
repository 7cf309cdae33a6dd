// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// flowRig has two services with two servers each.
type flowRig struct {
	*Maps
	a, b ServerID
}

var times = Setting{PortFirst: 1024, PortLast: 2048, TCP: 900 * time.Second, FIN: 120 * time.Second, UDP: 300 * time.Second}

func newFlowRig(t *testing.T, path string, o Options) *flowRig {
	t.Helper()
	r := &flowRig{openWith(t, path, o), serverID(1, MethodDR), serverID(2, MethodDR)}
	up(t, r.Maps, r.a, r.b)
	mustDo(t, r.SetForwarding(times))
	mustDo(t, r.PutForward(keyA, Forward{Ring: ringOfAll(1, 8, r.a, r.b)}))
	mustDo(t, r.PutForward(keyB, Forward{Ring: ringOfAll(1, 8, r.a, r.b), Down: DownKeep}))
	return r
}

// note puts a flow as a program would: seen so many seconds ago.
func (r *flowRig) note(t *testing.T, table *ebpf.Map, port int, k Key, at uint16, state bpf.DirectorFlowState, ago int) {
	t.Helper()
	now, err := clock()
	mustDo(t, err)
	f := bpf.DirectorFlow{Server: at, State: state, Seen: now - uint16(ago)}
	mustDo(t, table.Put(r.flowKey(port, k), f))
}

func (r *flowRig) flowKey(port int, k Key) bpf.DirectorFlowKey {
	return bpf.DirectorFlowKey{
		Client:  addrTo(netip.AddrFrom4([4]byte{192, 0, 2, byte(port >> 16)})),
		Port:    portTo(uint16(port)),
		Service: uint16(r.ids[k]),
	}
}

func (r *flowRig) ports(t *testing.T) map[uint16]Flow {
	t.Helper()
	out := map[uint16]Flow{}
	mustDo(t, r.Flows(func(f Flow) bool {
		out[f.Client.Port()] = f
		return true
	}))
	return out
}

func TestFlowsAreListed(t *testing.T) {
	r := newFlowRig(t, pinPath(t), small)
	full := serverID(3, MethodFullNAT)
	up(t, r.Maps, full)
	s := times
	s.Sources = addrs("10.0.0.1 2001:db8::1")
	mustDo(t, r.SetForwarding(s))
	r.note(t, r.engine.Flows, 1, keyA, r.rowOf[r.a], bpf.DirectorFlowStateFLOW_OPEN, 10)
	r.note(t, r.engine.Fresh, 2, keyB, r.rowOf[r.b], bpf.DirectorFlowStateFLOW_NEW, 40)
	now, err := clock()
	mustDo(t, err)
	mustDo(t, r.engine.Flows.Put(r.flowKey(3, keyB), bpf.DirectorFlow{
		Server: r.rowOf[full], State: bpf.DirectorFlowStateFLOW_UDP, Seen: now, Port: portTo(1999), Source: 16,
	}))
	mustDo(t, r.engine.Flows.Put(r.flowKey(4, keyB), bpf.DirectorFlow{
		Server: 9999, Seen: now, State: bpf.DirectorFlowStateFLOW_PICKED,
	}))
	mustDo(t, r.engine.Flows.Put(bpf.DirectorFlowKey{Service: 4000}, bpf.DirectorFlow{Seen: now}))
	got := r.ports(t)
	client := func(port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.0"), port)
	}
	want := map[uint16]Flow{
		1: {Client: client(1), Service: keyA, Server: r.a, State: FlowOpen, Idle: 10 * time.Second, Left: 890 * time.Second},
		2: {Client: client(2), Service: keyB, Server: r.b, State: FlowNew, Idle: 40 * time.Second},
		3: {Client: client(3), Service: keyB, Server: full, State: FlowUDP, Left: 300 * time.Second, Source: netip.MustParseAddrPort("[2001:db8::1]:1999")},
		4: {Client: client(4), Service: keyB, State: FlowNew, Left: 30 * time.Second},
	}
	for port, f := range got { // the clock may have turned meanwhile
		if w := want[port]; f.Idle == w.Idle+time.Second {
			f.Idle, f.Left = w.Idle, w.Left
			got[port] = f
		}
	}
	wantSame(t, "flows", want, got)
	n := 0
	mustDo(t, r.Flows(func(Flow) bool { n++; return n < 2 }))
	if n != 2 {
		t.Errorf("%d flows after the second was enough", n)
	}
}

func TestSweep(t *testing.T) {
	const open, fin, reset, udp, fresh = bpf.DirectorFlowStateFLOW_OPEN, bpf.DirectorFlowStateFLOW_FIN,
		bpf.DirectorFlowStateFLOW_RESET, bpf.DirectorFlowStateFLOW_UDP, bpf.DirectorFlowStateFLOW_NEW
	r := newFlowRig(t, pinPath(t), small)
	down := serverID(3, MethodDR)
	mustDo(t, r.PutServer(down, Server{State: ServerDown}))
	mustDo(t, r.PutServer(r.b, Server{State: ServerDrain}))
	up, drain, dead := r.rowOf[r.a], r.rowOf[r.b], r.rowOf[down]
	cases := []struct {
		name  string
		k     Key
		at    uint16
		state bpf.DirectorFlowState
		ago   int
		stays bool
	}{
		{"open", keyA, up, open, 890, true},
		{"open, idle", keyA, up, open, 902, false},
		{"fin", keyA, up, fin, 110, true},
		{"fin, idle", keyA, up, fin, 122, false},
		{"reset", keyA, up, reset, 5, true},
		{"reset, idle", keyA, up, reset, 12, false},
		{"udp", keyA, up, udp, 290, true},
		{"udp, idle", keyA, up, udp, 302, false},
		{"new", keyA, up, fresh, 20, true},
		{"new, idle", keyA, up, fresh, 32, false},
		{"seen just after the clock was read", keyA, up, open, -1, true},
		{"half a turn of the clock ago", keyA, up, open, 40000, false},
		{"nearly a turn of the clock ago", keyA, up, open, 65400, false},
		{"drained", keyA, drain, open, 0, true},
		{"down", keyA, dead, open, 0, false},
		{"down, kept", keyB, dead, open, 0, true},
		{"down, kept, idle", keyB, dead, open, 902, false},
		{"of no server", keyB, 0, open, 0, false},
		{"of a row without a server", keyB, 999, open, 0, false},
		{"of a row beyond all", keyB, 60000, open, 0, false},
	}
	for i, c := range cases {
		table := r.engine.Flows
		if c.state == fresh {
			table = r.engine.Fresh
		}
		r.note(t, table, i, c.k, c.at, c.state, c.ago)
	}
	now, err := clock()
	mustDo(t, err)
	mustDo(t, r.engine.Flows.Put(bpf.DirectorFlowKey{Service: 77}, bpf.DirectorFlow{Server: up, Seen: now}))
	got, err := r.Sweep()
	mustDo(t, err)
	left := r.ports(t)
	stay := 0
	for i, c := range cases {
		if _, ok := left[uint16(i)]; ok != c.stays {
			t.Errorf("%s: it stays: %t", c.name, ok)
		}
		if c.stays {
			stay++
		}
	}
	if got.Took <= 0 {
		t.Error("it took no time")
	}
	got.Took = 0
	wantSame(t, "census", Census{
		Flows:     map[ServerID]int{r.a: stay - 2, r.b: 1, down: 1},
		ByService: map[Key]int{keyA: stay - 1, keyB: 1},
		Open:      map[ServerID]int{r.a: 3, r.b: 1, down: 1}, OpenByService: map[Key]int{keyA: 4, keyB: 1},
		Total: stay, Capacity: 8192 + 4096, Removed: len(cases) + 1 - stay,
	}, got)
}

func TestNothingExpiresBeforeTheTimesAreSet(t *testing.T) {
	r := newFlowRig(t, pinPath(t), small)
	mustDo(t, r.engine.Forwarding.Put(uint32(0), bpf.DirectorForwardSetting{}))
	r.note(t, r.engine.Flows, 1, keyA, r.rowOf[r.a], bpf.DirectorFlowStateFLOW_OPEN, 5000)
	if got, err := r.Sweep(); err != nil || got.Total != 1 {
		t.Errorf("flows left: %d, %v", got.Total, err)
	}
}

func TestSweepFreesPorts(t *testing.T) {
	r := newFlowRig(t, pinPath(t), small)
	full := ServerID{Addr: netip.MustParseAddrPort("10.0.0.7:0"), Method: MethodFullNAT}
	up(t, r.Maps, full)
	binding := bpf.DirectorBindingKey{
		Server: keyTo(Key{Addr: netip.AddrPortFrom(full.Addr.Addr(), keyA.Addr.Port()), Proto: 6}), Port: portTo(2000), Source: 1,
	}
	for name, c := range map[string]struct {
		holder int
		stays  bool
	}{"its own": {5, false}, "another flow's by now": {6, true}} {
		mustDo(t, r.engine.Bindings.Put(binding, bpf.DirectorBinding{Flow: r.flowKey(c.holder, keyA)}))
		now, err := clock()
		mustDo(t, err)
		mustDo(t, r.engine.Flows.Put(r.flowKey(5, keyA), bpf.DirectorFlow{
			Server: r.rowOf[full], State: bpf.DirectorFlowStateFLOW_FIN, Seen: now - 200, Port: portTo(2000), Source: 1,
		}))
		if _, err := r.Sweep(); err != nil {
			t.Fatal(err)
		}
		if err := r.engine.Bindings.Lookup(binding, new(bpf.DirectorBinding)); (err == nil) != c.stays {
			t.Errorf("%s: the binding: %v", name, err)
		}
	}
}

func TestFragmentsOfWhatIsGone(t *testing.T) {
	r := newFlowRig(t, pinPath(t), small)
	put := func(ident uint32, k Key, at uint16) {
		mustDo(t, r.engine.Fragments.Put(bpf.DirectorFragmentKey{Id: ident}, bpf.DirectorFragmentWay{Flow: r.flowKey(1, k), Server: at}))
	}
	put(1, keyA, r.rowOf[r.a])
	put(2, keyB, r.rowOf[r.a])
	put(3, keyA, 999)
	mustDo(t, r.DeleteForward(keyB))
	if _, err := r.Sweep(); err != nil {
		t.Fatal(err)
	}
	for ident, stays := range map[uint32]bool{1: true, 2: false, 3: false} {
		err := r.engine.Fragments.Lookup(bpf.DirectorFragmentKey{Id: ident}, new(bpf.DirectorFragmentWay))
		if (err == nil) != stays {
			t.Errorf("note %d: %v", ident, err)
		}
	}
}

func TestServerWithFlowsKeepsItsRow(t *testing.T) {
	path := pinPath(t)
	r := newFlowRig(t, path, small)
	r.note(t, r.engine.Fresh, 1, keyA, r.rowOf[r.a], bpf.DirectorFlowStateFLOW_NEW, 0)
	if err := r.DeleteServer(r.a); !errors.Is(err, ErrServerInUse) {
		t.Fatalf("delete a server of a ring: %v", err)
	}
	for _, k := range []Key{keyA, keyB} {
		mustDo(t, r.PutForward(k, Forward{Ring: ringOfAll(2, 8, r.b)}))
	}
	for range 2 {
		if err := r.DeleteServer(r.a); !errors.Is(err, ErrServerInUse) {
			t.Fatalf("delete a server with a flow: %v", err)
		}
	}
	if all, err := r.Servers(); err != nil || all[r.a].State != ServerDrain {
		t.Errorf("it gets new flows still: %+v, %v", all[r.a], err)
	}
	mustDo(t, r.engine.Fresh.Delete(r.flowKey(1, keyA)))
	if _, err := r.Sweep(); err != nil {
		t.Fatal(err)
	}
	up(t, r.Maps, r.a) // and what the sweep has found is worth nothing
	r.note(t, r.engine.Flows, 1, keyA, r.rowOf[r.a], bpf.DirectorFlowStateFLOW_OPEN, 0)
	if err := r.DeleteServer(r.a); !errors.Is(err, ErrServerInUse) {
		t.Fatalf("delete a server that had a flow again: %v", err)
	}
	mustDo(t, r.PutServer(r.a, Server{State: ServerDown}))
	mustDo(t, r.DeleteServer(r.a)) // its flow meets its fate
	if all := r.ports(t); len(all) != 0 {
		t.Errorf("flows of a server that is gone: %v", all)
	}
}

// TestIDIsGivenAwayWithoutFlows fills a service's id with flows, and gives it to
// another.
func TestIDIsGivenAwayWithoutFlows(t *testing.T) {
	path := pinPath(t)
	keyC := Key{Addr: netip.MustParseAddrPort("192.0.2.11:80"), Proto: 17}
	for _, restart := range []bool{false, true} {
		r := newFlowRig(t, path, small)
		for i := range 100 {
			r.note(t, r.engine.Flows, i, keyA, r.rowOf[r.a], bpf.DirectorFlowStateFLOW_OPEN, 0)
		}
		mustDo(t, r.PutService(keyA, Service{}))
		id := r.ids[keyA]
		mustDo(t, r.DeleteForward(keyA))
		mustDo(t, r.DeleteService(keyA))
		if restart {
			r.Maps = r.reopenWith(t, path, small)
		} else {
			for other := range r.maxIDs() { // as if all others were taken
				if other != id {
					r.ids[Key{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(other)), Proto: 1}] = other
				}
			}
		}
		mustDo(t, r.PutForward(keyC, Forward{Ring: ringOfAll(1, 8, r.a)}))
		if r.ids[keyC] != id {
			t.Fatalf("restart %t: id %d, want %d", restart, r.ids[keyC], id)
		}
		if all := r.ports(t); len(all) != 0 {
			t.Errorf("restart %t: a new service begins with %d flows", restart, len(all))
		}
		mustDo(t, r.Withdraw())
		mustDo(t, r.Close())
	}
}

func TestIDsRunOut(t *testing.T) {
	m := openWith(t, pinPath(t), small)
	for id := range m.maxIDs() {
		m.ids[Key{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(id)), Proto: 1}] = id
	}
	if err := m.PutService(keyA, Service{}); !errors.Is(err, ErrNoID) {
		t.Errorf("a service too many: %v", err)
	}
}

// TestReadersMeanwhile reads all there is while everything changes.
func TestReadersMeanwhile(t *testing.T) {
	r := newFlowRig(t, pinPath(t), small)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, errServers := r.Servers()
				_, errForwards := r.Forwards()
				_, errBacks := r.Backs()
				_, errTallies := r.Tallies()
				_, errSweep := r.Sweep()
				errFlows := r.Flows(func(f Flow) bool { return f.Service.Addr.IsValid() })
				if err := errors.Join(errServers, errForwards, errBacks, errTallies, errSweep, errFlows); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	extra := serverID(9, MethodDR)
	for i := range 30 {
		up(t, r.Maps, extra)
		mustDo(t, r.PutForward(keyA, Forward{Ring: ringOfAll(uint64(10+i), 8+i, r.a, extra)}))
		for j := range 200 {
			r.note(t, r.engine.Flows, j, keyA, r.rowOf[extra], bpf.DirectorFlowStateFLOW_OPEN, 0)
		}
		mustDo(t, r.PutForward(keyA, Forward{Ring: ringOfAll(uint64(100+i), 8, r.a)}))
		mustDo(t, r.PutServer(extra, Server{State: ServerDown}))
		mustDo(t, r.DeleteServer(extra))
	}
	close(stop)
	readers.Wait()
	for _, f := range r.ports(t) {
		t.Fatalf("a flow of a server that is gone: %+v", f)
	}
}

func TestFlowStates(t *testing.T) {
	for s, want := range map[FlowState]string{FlowNew: "new", FlowOpen: "open", FlowFIN: "fin", FlowReset: "reset", FlowUDP: "udp", 9: "state_9"} {
		if s.String() != want {
			t.Errorf("state %d is %q, want %q", s, s, want)
		}
	}
}

// TestManyLeaveByOneSweep has many servers with flows leave, again and again: all
// flows are gone through once, until something has happened that may end some.
func TestManyLeaveByOneSweep(t *testing.T) {
	r := newFlowRig(t, pinPath(t), small)
	leaving := []ServerID{r.a}
	for i := range 4 {
		id := ServerID{Pool: 7, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 9, byte(i)}), 80), Method: MethodNAT}
		up(t, r.Maps, id)
		leaving = append(leaving, id)
	}
	for _, k := range []Key{keyA, keyB} {
		mustDo(t, r.PutForward(k, Forward{Ring: ringOfAll(2, 8, r.b)}))
	}
	for i, id := range leaving {
		mustDo(t, r.PutServer(id, Server{State: ServerDrain}))
		r.note(t, r.engine.Flows, i, keyA, r.rowOf[id], bpf.DirectorFlowStateFLOW_OPEN, 0)
	}
	inUse := func() {
		t.Helper()
		for _, id := range leaving {
			if err := r.DeleteServer(id); !errors.Is(err, ErrServerInUse) {
				t.Fatalf("delete %s, which has a flow: %v", id.Addr, err)
			}
		}
	}
	inUse()
	for i := range leaving { // gone unnoticed: whoever still finds them in use has not looked
		mustDo(t, r.engine.Flows.Delete(r.flowKey(i, keyA)))
	}
	inUse()
	if _, err := r.Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, id := range leaving {
		mustDo(t, r.DeleteServer(id))
	}
}
