// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

// The forms that a client's packets come in, beside those of flags_test.go,
// header_test.go, syn_test.go and page_test.go.

// TestOptionsOfAllSizes: of a SYN all are skipped; what has any behind it is of no
// exchange, since we agree to none.
func TestOptionsOfAllSizes(t *testing.T) {
	const most = 40 // bytes: what the header has room for
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		for size := 0; size <= most; size += 4 {
			t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
				unknown := append([]byte{253, byte(size)}, make([]byte, most)...)[:size] // RFC 6994
				syn := e.syn(unknown...)
				mss := uint16(e.most)
				if size < 4 {
					mss = 0
				}
				r.check(t, syn.Bytes(), e.synAck(syn, classOf(int(e.mss)), 0, mss))
				ack := e.at(key0, 1, 0, wholePage, packet.TCP{Window: 65535, Options: unknown, Payload: []byte("x")})
				reply := packet.TCP{Seq: ack.Ack, Flags: packet.RST}
				want := outcome{verdict: DirectorVerdictANSWER_RESET, id: e.id}
				if size == 0 {
					reply.Ack, reply.Flags = end(ack), packet.ACK
					want.verdict = DirectorVerdictANSWER_ACK
				}
				want.reply = answerTo(ack, reply)
				r.check(t, ack.Bytes(), want)
			})
		}
	})
}

// TestFastOpen: with a cookie or a wish for one, with data or without: nothing of it
// is taken, and the client sends its data again (RFC 7413, 4.2.2).
func TestFastOpen(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		for name, option := range map[string][]byte{
			"wish":         {34, 2},
			"cookie":       {34, 10, 1, 2, 3, 4, 5, 6, 7, 8},
			"longest":      append([]byte{34, 18}, make([]byte, 16)...),
			"experimental": {254, 4, 0xf9, 0x89},
		} {
			for _, data := range []string{"", "GET / HTTP/1.1\r\n\r\n"} {
				t.Run(fmt.Sprintf("%s, %d bytes", name, len(data)), func(t *testing.T) {
					syn := e.syn(append(mssOption(1460), option...)...)
					syn.Payload = tail([]byte(data))
					r.check(t, syn.Bytes(), e.synAck(syn, classOf(e.most), 0, uint16(e.most)))
				})
			}
		}
	})
}

// TestUrgent: urgent data is data.
func TestUrgent(t *testing.T) {
	r := newRig(t)
	page := testPage(pageLength, headLength)
	each(t, func(t *testing.T, e exchange) {
		for name, pointer := range map[string]uint16{"first byte": 1, "last byte": 18, "beyond": 65535, "no pointer": 0} {
			t.Run(name, func(t *testing.T) {
				p := e.at(key0, 1, 0, 0, packet.TCP{
					Flags: packet.PSH | packet.URG, Urgent: pointer, Window: 65535, Payload: []byte("GET / HTTP/1.1\r\n\r\n"),
				})
				want := page.segmentFor(p, 0, pageLength, 1220)
				want.id = e.id
				r.check(t, p.Bytes(), want)
				late := e.at(key0, 1, 0, wholePage, packet.TCP{Flags: packet.URG, Urgent: pointer, Window: 1, Payload: []byte("x")})
				r.check(t, late.Bytes(), outcome{DirectorVerdictANSWER_ACK, e.id, answerTo(late, packet.TCP{
					Seq: late.Ack, Ack: end(late), Flags: packet.ACK,
				})})
			})
		}
	})
}

// TestZeroWindow: nothing is sent to whom has no room, wherever in the page; what is
// no part of it needs none.
func TestZeroWindow(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		for _, offset := range []uint32{0, 1, 1220, headLength, pageLength - 1, pageLength} {
			for _, data := range []string{"x", "GET / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n"} {
				t.Run(fmt.Sprintf("offset %d, %d bytes", offset, len(data)), func(t *testing.T) {
					p := e.at(key0, 1, 0, offset, packet.TCP{Payload: []byte(data)})
					r.check(t, p.Bytes(), outcome{verdict: DirectorVerdictDROP_WINDOW, id: e.id})
				})
			}
		}
		t.Run("fin after the end", func(t *testing.T) {
			p := e.at(key0, 1, 0, wholePage, packet.TCP{Flags: packet.FIN})
			r.check(t, p.Bytes(), outcome{DirectorVerdictANSWER_ACK, e.id, answerTo(p, packet.TCP{
				Seq: p.Ack, Ack: end(p), Flags: packet.ACK,
			})})
		})
	})
}

// TestSimultaneousClose: the client's FIN and ours cross. Ours comes again, with an
// acknowledgement of theirs, and the client's of ours ends it.
func TestSimultaneousClose(t *testing.T) {
	r := newRig(t)
	page := testPage(pageLength, headLength)
	each(t, func(t *testing.T, e exchange) {
		const last = 1220 * 16 // where the segment with our FIN begins
		get := packet.TCP{Window: 65535, Payload: []byte("GET / HTTP/1.1\r\n\r\n")}
		behind := e.segment(packet.TCP{}).Seq + uint32(len(get.Payload))
		ask := e.at(key0, 1, 0, last, packet.TCP{Seq: behind, Window: 65535})
		fin := e.at(key0, 1, 0, last, packet.TCP{Seq: behind, Flags: packet.FIN, Window: 65535})
		for name, p := range map[string]packet.TCP{"asks": ask, "closes before it has ours": fin} {
			t.Run(name, func(t *testing.T) {
				r.check(t, p.Bytes(), outcome{DirectorVerdictANSWER_LAST, e.id, answerTo(p, packet.TCP{
					Seq: p.Ack, Ack: end(p), Flags: packet.ACK | packet.PSH | packet.FIN, Payload: page.bytes[last:],
				})})
			})
		}
		t.Run("acknowledges ours", func(t *testing.T) {
			p := e.at(key0, 1, 0, wholePage, packet.TCP{Seq: end(fin), Window: 65535})
			r.check(t, p.Bytes(), outcome{verdict: DirectorVerdictDROP_DONE, id: e.id})
		})
		t.Run("sends its own again", func(t *testing.T) {
			p := e.at(key0, 1, 0, wholePage, packet.TCP{Seq: behind, Flags: packet.FIN, Window: 65535})
			r.check(t, p.Bytes(), outcome{DirectorVerdictANSWER_ACK, e.id, answerTo(p, packet.TCP{
				Seq: p.Ack, Ack: end(p), Flags: packet.ACK,
			})})
		})
	})
}

// TestRequestInParts: segments of a request come in any order and overlap. Each is
// answered by itself, and acknowledges what it has brought but its last byte: with
// the header where the method is not in it, for it may be HEAD's.
func TestRequestInParts(t *testing.T) {
	r := newRig(t)
	page := testPage(pageLength, headLength)
	request := []byte("GET /a/path HTTP/1.1\r\nHost: example.net\r\n\r\n")
	const all, header = 1220, headLength
	each(t, func(t *testing.T, e exchange) {
		first := e.segment(packet.TCP{}).Seq
		for _, tt := range []struct {
			name     string
			from, to int
			most     int
		}{
			{"tail first", 20, len(request), header},
			{"then the beginning", 0, 20, all},
			{"all again", 0, len(request), all},
			{"a part that overlaps both", 10, 30, header},
			{"less than a method", 0, 3, header},
			{"the rest of it", 3, len(request), header},
			{"the last byte, as ours to be sent again", len(request) - 1, len(request), header},
			{"pipelined with another", 0, len(request), all},
		} {
			t.Run(tt.name, func(t *testing.T) {
				payload := request[tt.from:tt.to]
				if tt.name == "pipelined with another" {
					payload = bytes.Repeat(payload, 3)
				}
				p := e.at(key0, 1, 0, 0, packet.TCP{Seq: first + uint32(tt.from), Window: 65535, Payload: payload})
				want := page.segmentFor(p, 0, pageLength, tt.most)
				want.id = e.id
				r.check(t, p.Bytes(), want)
			})
		}
	})
}

// TestKeepAlive: a request that follows another in mid-page brings the page on, and
// one behind its end is acknowledged and forgotten: the connection was said to close.
func TestKeepAlive(t *testing.T) {
	r := newRig(t)
	page := testPage(pageLength, headLength)
	second := []byte("GET /second HTTP/1.1\r\n\r\n")
	each(t, func(t *testing.T, e exchange) {
		for _, offset := range []uint32{1220, 2440, headLength + 1, pageLength} {
			t.Run(fmt.Sprint("offset ", offset), func(t *testing.T) {
				p := e.at(key0, 1, 0, offset, packet.TCP{Seq: clientISN + 100, Window: 65535, Payload: second})
				want := page.segmentFor(p, int(offset), pageLength, 1220)
				want.id = e.id
				r.check(t, p.Bytes(), want)
			})
		}
		t.Run("behind the end", func(t *testing.T) {
			p := e.at(key0, 1, 0, wholePage, packet.TCP{Seq: clientISN + 100, Window: 65535, Payload: second})
			r.check(t, p.Bytes(), outcome{DirectorVerdictANSWER_ACK, e.id, answerTo(p, packet.TCP{
				Seq: p.Ack, Ack: end(p), Flags: packet.ACK,
			})})
		})
	})
}

// TestPortZero: a client may call itself so; a service has no such port unless it is
// one.
func TestPortZero(t *testing.T) {
	r := newRig(t)
	each(t, func(t *testing.T, e exchange) {
		from := e
		from.client = netip.AddrPortFrom(e.client.Addr(), 0)
		syn := from.syn(mssOption(1460)...)
		r.check(t, syn.Bytes(), from.synAck(syn, classOf(e.most), 0, uint16(e.most)))
		to := e
		to.vip = netip.AddrPortFrom(e.vip.Addr(), 0)
		for _, flags := range []packet.Flags{packet.SYN, packet.ACK, packet.RST} {
			p := to.segment(packet.TCP{Flags: flags})
			r.check(t, p.Bytes(), outcome{verdict: DirectorVerdictPASS_NO_SERVICE})
		}
	})
}

// TestResetStorm: resets are never answered, whether they are of an exchange or
// of nothing, and cost nothing of what others are answered with.
func TestResetStorm(t *testing.T) {
	const storm = 100
	r := newRig(t)
	r.set(t, DirectorSetting{Keys: [2]DirectorCookieKey{key0, key1}, ResetLimit: 1})
	each(t, func(t *testing.T, e exchange) {
		put(t, r.Resets, uint32(0), make([]DirectorBudget, ebpf.MustPossibleCPU()))
		for name, tt := range map[string]struct {
			key     DirectorCookieKey
			flags   packet.Flags
			verdict DirectorVerdict
		}{
			"of an exchange":       {key0, packet.RST | packet.ACK, DirectorVerdictDROP_RESET},
			"of nothing":           {key2, packet.RST | packet.ACK, DirectorVerdictDROP_ORPHAN},
			"without a number":     {key0, packet.RST, DirectorVerdictDROP_ORPHAN},
			"with a SYN":           {key2, packet.RST | packet.SYN, DirectorVerdictDROP_ORPHAN},
			"with a FIN and bytes": {key0, packet.RST | packet.ACK | packet.FIN, DirectorVerdictDROP_RESET},
		} {
			p := e.at(tt.key, 1, 0, 0, packet.TCP{Payload: []byte("x")})
			p.Flags = tt.flags
			for range storm {
				r.checkFrame(t, name, p.Bytes(), outcome{verdict: tt.verdict, id: e.id})
			}
		}
		orphan := e.at(key2, 1, 0, 0, packet.TCP{})
		r.checkOne(t, r.programs()[0], orphan.Bytes(), outcome{DirectorVerdictANSWER_RESET, e.id, answerTo(orphan, packet.TCP{
			Seq: orphan.Ack, Flags: packet.RST,
		})})
	})
}

// TestOtherHeaders: IPv6's other headers are not walked through, and what is behind
// them is none of ours.
func TestOtherHeaders(t *testing.T) {
	const authentication, encrypted, mobility, hip, shim6 = 51, 50, 135, 139, 140
	r := newRig(t)
	for _, protocol := range []uint8{authentication, encrypted, mobility, hip, shim6} {
		each(t, func(t *testing.T, e exchange) {
			t.Run(fmt.Sprint("protocol ", protocol), func(t *testing.T) {
				frame := packet.Raw{Src: e.client.Addr(), Dst: e.vip.Addr(), Proto: protocol, Payload: make([]byte, 40)}.Bytes()
				r.check(t, frame, outcome{verdict: DirectorVerdictPASS_PROTOCOL})
			})
		})
	}
}
