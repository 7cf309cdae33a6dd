// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// dnsPage has nothing of its own to say.
var dnsPage = speechPage{testResponse{bytes: []byte{0}}, DirectorSpeechSPEECH_DNS}

// query is a DNS message (RFC 1035, 4.1) with one question.
func query(id, flags uint16, name string, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0, 0, 1, 0, 1)
	if len(rest) > 0 {
		b[11] = 1 // an additional record
	}
	return append(b, rest...)
}

// Records that come behind the question, and flags of the second word.
var (
	edns       = []byte{0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}
	recursive  = uint16(0x0100)
	checked    = uint16(0x0110)
	authentic  = uint16(0x0120)
	everything = uint16(0x7fff) // but the bit of a response
	response   = uint16(0x8180)
)

// failed is the answer that says SERVFAIL (RFC 1035, 4.1.1), naively: of the
// second word of the header the opcode and RD are kept, and CD of RFC 4035.
func failed(message []byte) []byte {
	b := slices.Clone(message)
	word := binary.BigEndian.Uint16(b[2:])
	const qr, opcode, rd, cd, servfail = 0x8000, 0x7800, 0x0100, 0x0010, 2
	binary.BigEndian.PutUint16(b[2:], qr|word&(opcode|rd|cd)|servfail)
	return b
}

// bare is the header of an answer alone, with nothing behind it.
func bare(message []byte) []byte {
	return append(failed(message)[:4], 0, 0, 0, 0, 0, 0, 0, 0)
}

// framed puts a message behind its length, as it goes over TCP.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

func queries() map[string][]byte {
	return map[string][]byte{
		"plain":             query(0x1234, recursive, "www.example.net"),
		"edns and cookie":   query(0xffff, recursive, "www.example.net", edns...),
		"odd length":        query(1, 0, "www.example.ne"),
		"checking disabled": query(2, checked, "a.example"),
		"authentic data":    query(3, authentic, "a.example"),
		"all flags":         query(4, everything, "a.example"),
		"root":              query(5, 0, ""),
		"zero id":           query(0, 0, "a"),
		"much behind it":    query(6, recursive, "a.example", testPage(1360, 0).bytes...),
		"of one segment":    query(7, recursive, "a.example", testPage(1438-27, 0).bytes...),
		"no question":       {0, 9, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0}, // opcode 6: RFC 8490
	}
}

// TestSpeechDNS: over TCP the question comes back in one segment or in two, as
// it was asked.
func TestSpeechDNS(t *testing.T) {
	r := newRig(t)
	last, partial, done := DirectorVerdictANSWER_LAST, DirectorVerdictDROP_PARTIAL, DirectorVerdictANSWER_ACK
	plain := query(0x1234, recursive, "www.example.net")
	message, answer := string(framed(plain)), framed(failed(plain))
	end := uint32(len(answer)) + 1
	long := query(8, recursive, "a.example", testPage(537-27, 0).bytes...)
	merged := query(9, recursive, "a.example", testPage(1440-27, 0).bytes...) // from segments, by GRO
	turns := []turn{
		{name: "query", says: message, verdict: last, answer: answer},
		{name: "handshake", verdict: DirectorVerdictDROP_ACK},
		{name: "query and fin", says: message, fin: true, verdict: last, answer: answer},
		{name: "two queries", says: message + message, verdict: last, answer: answer},
		{name: "length", says: message[:2], verdict: DirectorVerdictANSWER_TURN, answer: answer[:2]},
		{name: "length, then nothing yet", offset: 2, verdict: DirectorVerdictDROP_ACK},
		{name: "length, then query", offset: 2, says: message[2:], verdict: last, answer: answer[2:]},
		{name: "length, then query and fin", offset: 2, says: message[2:], fin: true, verdict: last, answer: answer[2:]},
		{name: "length, then a part", offset: 2, says: message[2:13], verdict: partial},
		{name: "query overtakes the answer to its length", says: message[2:], verdict: partial},
		{name: "length and fin", says: message[:2], fin: true, verdict: partial},
		{name: "length, then fin", offset: 2, fin: true, verdict: last},
		{name: "connect and close", fin: true, verdict: last},
		{name: "one byte", says: message[:1], verdict: partial},
		{name: "without all of the header", says: message[:13], verdict: partial},
		{name: "header alone", says: message[:14], verdict: last, answer: framed(bare(plain))},
		{name: "all but a byte", says: message[:len(message)-1], verdict: last, answer: framed(bare(plain))},
		{name: "begin of a long one", says: "\x10\x00" + message[2:], verdict: last, answer: framed(bare(plain))},
		{name: "response", says: string(framed(query(1, response, "a.example"))), verdict: partial},
		{name: "length, then response", offset: 2, says: string(query(1, response, "a.example")), verdict: partial},
		{name: "no message", says: "\x00\x0b" + message[2:], verdict: partial},
		{name: "http", says: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", verdict: last, answer: framed(bare([]byte("T / HTTP/1.1")))},
		{name: "no window for the fin", says: message, window: uint16(len(answer)), verdict: DirectorVerdictDROP_WINDOW},
		{name: "window for it", says: message, window: uint16(len(answer) + 1), verdict: last, answer: answer},
		{name: "no window for the length", says: message[:2], window: 1, verdict: DirectorVerdictDROP_WINDOW},
		{name: "part of the answer", offset: 20, verdict: DirectorVerdictDROP_DONE},
		{name: "the end", offset: end, verdict: DirectorVerdictDROP_DONE},
		{name: "fin after the end", offset: end, fin: true, verdict: done},
		{name: "query after the end", offset: end, says: message, verdict: done},
		{name: "more than a segment of the client's", says: string(framed(long)), verdict: last, answer: framed(bare(long))},
		{name: "length, then more than that", offset: 2, says: string(long), verdict: last, answer: bare(long)},
		{name: "more than any segment", says: string(framed(merged)), class: 3, verdict: last, answer: framed(bare(merged))},
		{name: "as much as the client's segment", says: string(framed(long[:534])), verdict: last, answer: framed(failed(long[:534]))},
		{name: "end of the longest", offset: 1441, fin: true, verdict: done},
	}
	for name, q := range queries() {
		turns = append(turns,
			turn{name: name, says: string(framed(q)), verdict: last, answer: framed(failed(q)), class: 3},
			turn{name: name + " in two", says: string(q), offset: 2, verdict: last, answer: failed(q), class: 3})
	}
	r.plays(t, dnsPage, turns)
	r.orphaned(t, dnsPage)
}

// TestSpeechDNSHeaders: what was between the headers is gone, and the question
// behind them is not; but where tc can't take it out the header is the answer.
func TestSpeechDNSHeaders(t *testing.T) {
	r := newRig(t)
	for name, q := range queries() {
		if len(q) > 1000 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r.headedBut(t, dnsPage, turn{says: string(framed(q)), verdict: DirectorVerdictANSWER_LAST, answer: framed(failed(q))},
				turn{says: string(framed(q)), verdict: DirectorVerdictANSWER_LAST, answer: framed(bare(q))})
		})
	}
}
