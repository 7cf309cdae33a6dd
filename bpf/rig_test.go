// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// rig is the two programs in the kernel with maps of their own.
type rig struct {
	DirectorObjects
	pageSpec *ebpf.MapSpec
	ringSpec *ebpf.MapSpec
	names    map[DirectorVerdict]string
	in       *netlab.Namespace // where frames come in; nil: here
	slots    []uint32          // of pages that were put
	wired    bool              // it sits on interfaces, and may still see a frame when its test is over
}

// The services of every rig: ids are rows of counters.
const (
	id4    = 1
	id6    = 2
	idUDP4 = 3 // by tests that forward
	idUDP6 = 4
	ids    = 5
)

var (
	client4 = netip.MustParseAddrPort("192.0.2.1:40000")
	vip4    = netip.MustParseAddrPort("198.51.100.1:80")
	client6 = netip.MustParseAddrPort("[2001:db8:1::1]:40000")
	vip6    = netip.MustParseAddrPort("[2001:db8:2::1]:80")
)

// verdictRoom is VERDICT_ROOM of maps.h.
const verdictRoom = 48

// The keys of every rig; the first is current.
var (
	key0 = DirectorCookieKey{K0: 0x0706050403020100, K1: 0x0f0e0d0c0b0a0908}
	key1 = DirectorCookieKey{K0: 0x1111111111111111, K1: 0x2222222222222222}
	key2 = DirectorCookieKey{K0: 0x3333333333333333, K1: 0x4444444444444444}
)

// newRig loads the programs. Both services are sorry with the page in slot 1,
// which is a header of 100 bytes and a body that makes 20000.
func newRig(t testing.TB) *rig {
	t.Helper()
	return newSizedRig(t)
}

// newSizedRig takes a rig that a test before has left, or loads one: to verify the
// programs takes most of a test's time.
func newSizedRig(t testing.TB) *rig {
	t.Helper()
	kernel.RequireBPF(t)
	r := spareRig(t)
	if r == nil {
		r = loadRig(t)
	}
	t.Cleanup(func() {
		if t.Failed() || r.wired {
			_ = r.Close() // who knows what it is like
			return
		}
		r.clear(t)
		spare.Lock()
		defer spare.Unlock()
		spare.rigs = append(spare.rigs, r)
	})
	r.set(t, DirectorSetting{Keys: [2]DirectorCookieKey{key0, key1}, ResetLimit: 1 << 30})
	r.putPage(t, 1, testPage(20000, 100))
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Page: [2]uint32{1, 0}})
	return r
}

func loadRig(t testing.TB) *rig {
	t.Helper()
	spec, err := LoadDirector()
	if err != nil {
		t.Fatal(err)
	}
	shrink(spec)
	r := &rig{
		pageSpec: spec.Maps[DirectorMapPages].InnerMap, ringSpec: spec.Maps[DirectorMapRings].InnerMap,
		names: verdictNames(t, spec),
	}
	if err := spec.LoadAndAssign(&r.DirectorObjects, nil); err != nil {
		t.Fatal(explained(err))
	}
	return r
}

// shrink leaves so few rows that a test can compare all the counters packet by
// packet, and that a rig is quickly made.
func shrink(spec *ebpf.CollectionSpec) {
	for name, rows := range map[string]uint32{
		DirectorMapCounters: ids * verdictRoom,
		DirectorMapServers:  64, DirectorMapTallies: 64, DirectorMapRoutes: 64,
		DirectorMapFlows: 8192, DirectorMapFresh: 4096, DirectorMapBindings: 8192,
		DirectorMapFragments: 1024, DirectorMapPathMtus: 1024,
	} {
		spec.Maps[name].MaxEntries = rows
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
}

// explained shows where the verifier stopped.
func explained(err error) string {
	if v := new(ebpf.VerifierError); errors.As(err, &v) {
		return fmt.Sprintf("load: %-40v", v)
	}
	return fmt.Sprintf("load: %v", err)
}

func verdictNames(t testing.TB, spec *ebpf.CollectionSpec) map[DirectorVerdict]string {
	t.Helper()
	var e *btf.Enum
	if err := spec.Types.TypeByName("verdict", &e); err != nil {
		t.Fatalf("names of verdicts: %v", err)
	}
	names := make(map[DirectorVerdict]string)
	for _, v := range e.Values {
		names[DirectorVerdict(v.Value)] = v.Name
	}
	return names
}

func (r *rig) set(t testing.TB, s DirectorSetting) {
	t.Helper()
	if err := r.Settings.Put(uint32(0), s); err != nil {
		t.Fatal(err)
	}
}

// serve puts the same row for both services, but for its id.
func (r *rig) serve(t testing.TB, s DirectorService) {
	t.Helper()
	for id, vip := range map[uint32]netip.AddrPort{id4: vip4, id6: vip6} {
		s.Id = id
		if err := r.Services.Put(serviceKey(vip), s); err != nil {
			t.Fatal(err)
		}
	}
}

func serviceKey(vip netip.AddrPort) DirectorEndpoint { return endpoint(vip, packet.ProtoTCP) }

func endpoint(a netip.AddrPort, protocol uint8) DirectorEndpoint {
	return DirectorEndpoint{Address: words(a.Addr()), Port: wirePort(a.Port()), Protocol: protocol}
}

// words is an address as the programs keep it; zero for none.
func words(a netip.Addr) (w [4]uint32) {
	if !a.IsValid() {
		return w
	}
	address := a.As16()
	for i := range w {
		w[i] = binary.NativeEndian.Uint32(address[i*4:])
	}
	return w
}

func wirePort(port uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, port))
}

func (r *rig) putPage(t testing.TB, slot uint32, p testResponse) {
	t.Helper()
	r.putRow(t, slot, p.row())
}

func (r *rig) putRow(t testing.TB, slot uint32, row *DirectorPage) {
	t.Helper()
	inner, err := ebpf.NewMap(r.pageSpec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := inner.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := inner.Put(uint32(0), row); err != nil {
		t.Fatal(err)
	}
	if err := r.Pages.Put(slot, inner); err != nil {
		t.Fatal(err)
	}
	r.slots = append(r.slots, slot)
}

// testResponse is a page before it is a row of a map.
type testResponse struct {
	bytes []byte
	head  int
}

// testPage has bytes that differ at any two offsets that a bug might confuse,
// and sums that carry: many are 0xff.
func testPage(length, head int) testResponse {
	b := make([]byte, length)
	x := uint32(length)
	for i := range b {
		x = x*1664525 + 1013904223
		if b[i] = byte(x >> 24); i%7 < 3 {
			b[i] |= 0xf0
		}
	}
	return testResponse{bytes: b, head: head}
}

func (p testResponse) row() *DirectorPage {
	row := &DirectorPage{Digest: 1, Length: uint32(len(p.bytes)), Head: uint32(p.head), Burst: 1}
	copy(row.Bytes[:], p.bytes)
	var sum uint32
	for i := range row.Sums {
		row.Sums[i] = sum
		if i < len(p.bytes)/2 {
			sum += uint32(binary.BigEndian.Uint16(p.bytes[2*i:]))
		}
	}
	return row
}

// program is one of the two under test, with the values that it may return.
type program struct {
	name                      string
	prog                      *ebpf.Program
	in                        *netlab.Namespace
	pass, drop, send, forward uint32
	from                      int    // index of the interface that frames come in by; 0: loopback
	mark, segment             uint32 // tc: of the socket buffer; the segments that it is to be cut into
}

func (r *rig) programs() []program {
	const unspec = 0xffffffff // TC_ACT_UNSPEC is -1
	return []program{
		// XDP_PASS, XDP_DROP, XDP_TX, XDP_REDIRECT
		{name: "xdp", prog: r.MaitredXdp, in: r.in, pass: 2, drop: 1, send: 3, forward: 4},
		{name: "tc", prog: r.MaitredTc, in: r.in, pass: unspec, drop: 2, send: 7, forward: 7},
	}
}

// expected is the value to be returned with a verdict.
func (p program) expected(v DirectorVerdict) uint32 {
	switch {
	case v <= DirectorVerdictPASS_DEFERRED:
		return p.pass
	case v < DirectorVerdictFORWARD_FLOW:
		return p.send
	case v < DirectorVerdictDROP_ACK:
		return p.forward
	default:
		return p.drop
	}
}

// context is struct xdp_md or struct __sk_buff of linux/bpf.h, as far as the
// kernel takes it for a test run; nil: as it is by default.
func (p program) context(frame []byte) any {
	const dataEnd, xdpInterface, mark, skbInterface, segments, segment, size = 1, 3, 2, 10, 41, 44, 48
	switch {
	case p.name == "xdp" && p.from != 0:
		md := make([]uint32, 6)
		md[dataEnd], md[xdpInterface] = uint32(len(frame)), uint32(p.from)
		return md
	case p.name != "xdp" && (p.from != 0 || p.mark != 0 || p.segment != 0):
		skb := make([]uint32, size)
		skb[skbInterface], skb[mark], skb[segment] = uint32(p.from), p.mark, p.segment
		if p.segment != 0 {
			skb[segments] = uint32(len(frame))/p.segment + 1
		}
		return skb
	}
	return nil
}

// run gives what the program returned and the frame as it left it.
func (p program) run(frame []byte) (ret uint32, out []byte, err error) {
	opts := ebpf.RunOptions{Data: frame, DataOut: make([]byte, 4096), Context: p.context(frame)}
	run := func() error {
		ret, err = p.prog.Run(&opts)
		return err
	}
	if p.in != nil {
		err = p.in.Do(run)
	} else {
		err = run()
	}
	if err != nil {
		return 0, nil, fmt.Errorf("run %s on %d bytes: %w", p.name, len(frame), err)
	}
	return ret, opts.DataOut, nil
}

// refused tells an error of the kernel's, not of the program's: a test run of tc
// begins with a socket buffer, and later kernels (6.18) make none of an IP
// header that is cut short.
func (p program) refused(frame []byte, err error) bool {
	const link, header4, header6 = 14, 20, 40
	least := link
	switch binary.BigEndian.Uint16(frame[12:]) {
	case packet.EtherTypeIPv4:
		least = link + header4
	case packet.EtherTypeIPv6:
		least = link + header6
	}
	return errors.Is(err, unix.EINVAL) && p.name != "xdp" && (len(frame) == link || len(frame) < least)
}

// counts is the counters map, summed over the CPUs.
type counts []DirectorCounter

func (r *rig) counts(t testing.TB) counts {
	t.Helper()
	cpus := ebpf.MustPossibleCPU()
	const n = ids * verdictRoom
	keys, values := make([]uint32, n), make([]DirectorCounter, n*cpus)
	var cursor ebpf.MapBatchCursor
	if got, err := r.Counters.BatchLookup(&cursor, keys, values, nil); err != nil || got != n {
		t.Fatalf("read %d of %d counters: %v", got, n, err)
	}
	sums := make(counts, n)
	for i, key := range keys {
		for _, v := range values[i*cpus : (i+1)*cpus] {
			sums[key].Packets += v.Packets
			sums[key].Bytes += v.Bytes
		}
	}
	return sums
}

// since lists what was counted after before, as "id VERDICT packets/bytes".
func (r *rig) since(before, now counts) string {
	var lines []string
	for i := range now {
		if now[i] != before[i] {
			v := DirectorVerdict(i % verdictRoom)
			lines = append(lines, counted(i/verdictRoom, r.names[v],
				now[i].Packets-before[i].Packets, now[i].Bytes-before[i].Bytes))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

func counted(id int, verdict string, packets, bytes uint64) string {
	return fmt.Sprintf("%d %s %d/%d", id, verdict, packets, bytes)
}
