// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/test/packet"
)

// outcome is all that a packet is to bring about.
type outcome struct {
	verdict DirectorVerdict
	id      int         // row of counters
	reply   *packet.TCP // nil: the frame stays as it is
}

// check runs the frame through both programs, and demands the outcome and
// nothing else: the value returned, every byte of the frame, and the counters.
func (r *rig) check(t *testing.T, frame []byte, want outcome) {
	t.Helper()
	for _, p := range r.programs() {
		t.Run(p.name, func(t *testing.T) {
			t.Helper()
			r.checkOne(t, p, frame, want)
		})
	}
}

// checkFrame is check without subtests, for frames by the thousand. It stops
// the test at the first that fails.
func (r *rig) checkFrame(t *testing.T, name string, frame []byte, want outcome) {
	t.Helper()
	for _, p := range r.programs() {
		if r.checkOne(t, p, frame, want); t.Failed() {
			t.Fatalf("%s: %s", p.name, name)
		}
	}
}

func (r *rig) checkOne(t *testing.T, p program, frame []byte, want outcome) {
	t.Helper()
	before := r.counts(t)
	ret, out, err := p.run(frame)
	if p.refused(frame, err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	line := counted(want.id, r.names[want.verdict], 1, uint64(len(frame)))
	if p.name == "xdp" && want.verdict < DirectorVerdictPASS_DEFERRED {
		line = "" // tc counts it
	}
	if got := r.since(before, r.counts(t)); got != line {
		t.Errorf("counted %s, want %s", got, line)
	}
	if ret != p.expected(want.verdict) {
		t.Errorf("returned %d, want %d", int32(ret), int32(p.expected(want.verdict)))
	}
	if want.reply == nil {
		if !bytes.Equal(out, frame) {
			t.Errorf("frame was changed:\n in %x\nout %x", frame, out)
		}
		return
	}
	got := parseReply(t, out)
	if diff := cmp.Diff(*want.reply, got, addresses); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

var addresses = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// parseReply gives a TCP answer whose checksums are right, less the checksums.
func parseReply(t testing.TB, frame []byte) packet.TCP {
	t.Helper()
	p, err := packet.Parse(frame)
	if err != nil {
		t.Fatalf("answer %x: %v", frame, err)
	}
	if err := p.ChecksumsOK(); err != nil {
		t.Errorf("answer: %v\n%x", err, frame)
	}
	if p.TCP == nil {
		t.Fatalf("answer is of protocol %d", p.Proto)
	}
	got := *p.TCP
	got.Checksum, got.IP.Checksum = nil, nil // 0 and 0xffff are both right
	return got
}

// answerTo fills in what every answer to a packet has: the way back, and the
// header fields that are always the same.
func answerTo(p, reply packet.TCP) *packet.TCP {
	reply.Src, reply.Dst = p.Dst, p.Src
	reply.Link = packet.Link{Src: packet.DefaultDstMAC, Dst: packet.DefaultSrcMAC, VLANs: p.Link.VLANs, TPIDs: p.Link.TPIDs}
	if p.Link.Src != (packet.MAC{}) {
		reply.Link.Dst = p.Link.Src
	}
	if p.Link.Dst != (packet.MAC{}) {
		reply.Link.Src = p.Link.Dst
	}
	reply.IP = packet.IP{TTL: 64}
	if p.Src.Addr().Is4() {
		reply.IP.ID = uint16(reply.Seq) ^ uint16(reply.Seq>>16) ^ uint16(reply.Ack)
	}
	if reply.Flags&packet.RST == 0 {
		reply.Window = 65535
	}
	return &reply
}

// exchange is a client and a service in one IP version.
type exchange struct {
	name        string
	client, vip netip.AddrPort
	id          int
	mss         uint16 // where the SYN names none
	headers     uint32 // of IP and TCP, in bytes
	most        int    // payload of a segment on a link of 1500 bytes
}

func exchanges() []exchange {
	return []exchange{
		{"ipv4", client4, vip4, id4, 536, 40, 1440},
		{"ipv6", client6, vip6, id6, 1220, 60, 1220},
	}
}

// each runs a test for either IP version.
func each(t *testing.T, f func(t *testing.T, e exchange)) {
	t.Helper()
	for _, e := range exchanges() {
		t.Run(e.name, func(t *testing.T) { f(t, e) })
	}
}

// Sequence numbers of the client, chosen so that they wrap.
const clientISN = 0xffffff00

// segment is one of the client's, with its own window unless another is set.
func (e exchange) segment(p packet.TCP) packet.TCP {
	p.Src, p.Dst = e.client, e.vip
	if p.Seq == 0 {
		p.Seq = clientISN + 1
	}
	return p
}

// at is a segment of an exchange in which the client asks for the byte at the
// offset; class and salt as the cookie has them.
func (e exchange) at(key DirectorCookieKey, class, salt, offset uint32, p packet.TCP) packet.TCP {
	p = e.segment(p)
	p.Ack = isn(key, e.client, e.vip, class, salt) + 1 + offset
	p.Flags |= packet.ACK
	return p
}

// end is the sequence number behind the segment.
func end(p packet.TCP) uint32 {
	n := p.Seq + uint32(len(p.Payload))
	if p.Flags&packet.FIN != 0 {
		n++
	}
	return n
}
