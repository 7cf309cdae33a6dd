// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

var anyPage = speechPage{
	testResponse{bytes: []byte("-ERR the service is down for the moment, please try again\r\n")}, DirectorSpeechSPEECH_ANY,
}

// TestSpeechAny: the first byte brings it all, whatever it is.
func TestSpeechAny(t *testing.T) {
	r := newRig(t)
	all, length := anyPage.bytes, uint32(len(anyPage.bytes))
	last := DirectorVerdictANSWER_LAST
	turns := []turn{
		{name: "handshake", verdict: DirectorVerdictDROP_ACK},
		{name: "redis", says: "*1\r\n$7\r\nCOMMAND\r\n", verdict: last, answer: all},
		{name: "memcached", says: "version\r\n", verdict: last, answer: all},
		{name: "tls", says: "\x16\x03\x01\x02\x00\x01\x00", verdict: last, answer: all},
		{name: "head", says: "HEAD / HTTP/1.1\r\n\r\n", verdict: last, answer: all},
		{name: "one byte", says: "x", verdict: last, answer: all},
		{name: "data and fin", says: "x", fin: true, verdict: last, answer: all},
		{name: "fin", fin: true, verdict: last, answer: all},
		{name: "page without its fin", offset: length, verdict: last},
		{name: "the end", offset: length + 1, verdict: DirectorVerdictDROP_DONE},
		{name: "data after the end", offset: length + 1, says: "QUIT", verdict: DirectorVerdictANSWER_ACK},
		{name: "fin after the end", offset: length + 1, fin: true, verdict: DirectorVerdictANSWER_ACK},
		{name: "window for the page alone", says: "x", window: uint16(length), verdict: DirectorVerdictANSWER_SEGMENT, answer: all, unsaid: 1},
		{name: "window for all", says: "x", window: uint16(length + 1), verdict: last, answer: all},
	}
	r.plays(t, anyPage, turns)
	r.orphaned(t, anyPage)
	r.headed(t, anyPage, turns[1])
}

// TestSpeechAnyLong: a page of many segments comes as an HTTP one does, and is
// whole in the end over a bad network, too.
func TestSpeechAnyLong(t *testing.T) {
	r := newRig(t)
	page := testPage(20000, 0)
	r.putRow(t, 1, speechPage{page, DirectorSpeechSPEECH_ANY}.row())
	for seed := range uint64(24) {
		x := exchangeCase{request: []byte("*1\r\n$7\r\nCOMMAND\r\n"), whole: true, halfClose: seed%5 == 0}
		if err := x.play(r, page, seed); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// greetingPages are of one segment of any class, and of more.
func greetingPages() []speechPage {
	line := []byte("421 4.3.2 mail.example.net Service temporarily down, please try again\r\n")
	return []speechPage{
		{testResponse{bytes: line}, DirectorSpeechSPEECH_GREETING},
		{testResponse{bytes: append(bytes.Repeat([]byte("421-x\r\n"), 100), line...)}, DirectorSpeechSPEECH_GREETING},
	}
}

// TestSpeechGreeting: the end of the handshake brings it, and so does all that
// shows that it was lost.
func TestSpeechGreeting(t *testing.T) {
	r := newRig(t)
	page := greetingPages()[0]
	all, length := page.bytes, uint32(len(page.bytes))
	last := DirectorVerdictANSWER_LAST
	turns := []turn{
		{name: "handshake", verdict: last, answer: all, twice: true},
		{name: "first words", says: "EHLO example.net\r\n", verdict: last, answer: all},
		{name: "keep-alive byte", says: "x", verdict: last, answer: all},
		{name: "fin", fin: true, verdict: last, answer: all},
		{name: "data and fin", says: "QUIT\r\n", fin: true, verdict: last, answer: all},
		{name: "no room for the fin", window: uint16(length), verdict: DirectorVerdictANSWER_SEGMENT, answer: all},
		{name: "no room for the fin, data", says: "x", window: uint16(length), verdict: DirectorVerdictANSWER_SEGMENT, answer: all, unsaid: 1},
		{name: "page without its fin", offset: length, verdict: last, twice: true},
		{name: "the end", offset: length + 1, verdict: DirectorVerdictDROP_DONE},
		{name: "data after the end", offset: length + 1, says: "QUIT\r\n", verdict: DirectorVerdictANSWER_ACK},
		{name: "fin after the end", offset: length + 1, fin: true, verdict: DirectorVerdictANSWER_ACK},
	}
	r.plays(t, page, turns)
	r.plays(t, greetingPages()[1], []turn{
		{name: "long, handshake", verdict: DirectorVerdictANSWER_SEGMENT, answer: greetingPages()[1].bytes[:536]},
		{name: "long, words", says: "EHLO", verdict: DirectorVerdictANSWER_SEGMENT, answer: greetingPages()[1].bytes[:536], unsaid: 1},
		{name: "long, rest", offset: 536, verdict: last, answer: greetingPages()[1].bytes[536:], twice: true},
		{name: "long, handshake, class 3", class: 3, verdict: last, answer: greetingPages()[1].bytes, twice: true},
	})
	r.orphaned(t, page)
	r.headed(t, page, turns[0])
}

// TestSpeechGreetingToAnyWindow: no byte lies beyond the window, whatever it is.
func TestSpeechGreetingToAnyWindow(t *testing.T) {
	r := newRig(t)
	page := greetingPages()[0]
	r.putRow(t, 1, page.row())
	random := rand.New(rand.NewPCG(1, 2))
	each(t, func(t *testing.T, e exchange) {
		for range 50 {
			window := 1 + random.IntN(len(page.bytes)-1)
			n := window
			if n >= 64 {
				n = 64
			}
			x := turn{window: uint16(window), verdict: DirectorVerdictANSWER_SEGMENT, answer: page.bytes[:n]}
			if window == 1 {
				x.verdict, x.answer = DirectorVerdictDROP_WINDOW, nil // see on_request: offset 1 is behind the empty head
			}
			p := x.segment(e)
			r.checkFrame(t, fmt.Sprint("window ", window), p.Bytes(), x.outcome(r.programs()[1], e, p))
		}
	})
}

// TestSpeechGreetingTwice: XDP has tc answer a SYN to who is to be greeted, up to
// a limit; beyond that, and for all other pages, it does so itself.
func TestSpeechGreetingTwice(t *testing.T) {
	r := newRig(t)
	xdp, tc := r.programs()[0], r.programs()[1]
	each(t, func(t *testing.T, e exchange) {
		syn := e.syn(mssOption(1460)...)
		answer := e.synAck(syn, classOf(e.most), 0, uint16(e.most))
		for _, page := range []speechPage{anyPage, postgresPage(), dnsPage, {testPage(1000, 100), DirectorSpeechSPEECH_HTTP}} {
			r.putRow(t, 1, page.row())
			r.check(t, syn.Bytes(), answer)
		}
		r.putRow(t, 1, greetingPages()[0].row())
		r.checkOne(t, xdp, syn.Bytes(), outcome{verdict: DirectorVerdictPASS_DEFERRED, id: e.id})
		r.checkOne(t, tc, syn.Bytes(), answer)
		ack := turn{verdict: DirectorVerdictANSWER_LAST, answer: greetingPages()[0].bytes}
		r.spend(t, func() {
			r.checkOne(t, xdp, syn.Bytes(), answer)
			r.checkOne(t, xdp, ack.segment(e).Bytes(), ack.outcome(xdp, e, ack.segment(e)))
		})
	})
}

// spend leaves nothing of what may be sent twice while f runs, which has to be
// within a window of time (TWICE_WINDOW_NS of twice.h).
func (r *rig) spend(t *testing.T, f func()) {
	t.Helper()
	const window, limit = 1e8, 5000
	for uptimeNS(t)%window > window/2 {
		time.Sleep(window / 10)
	}
	spent := make([]DirectorBudget, ebpf.MustPossibleCPU())
	for i := range spent {
		spent[i] = DirectorBudget{Window: uint64(uptimeNS(t) / window), Used: limit}
	}
	for key := range uint32(2) {
		put(t, r.Twices, key, spent)
		defer put(t, r.Twices, key, make([]DirectorBudget, len(spent)))
	}
	f()
}
