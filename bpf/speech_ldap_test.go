// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"strings"
	"testing"
)

// ber is a value of BER (X.690, 8.1) behind a length of the fewest bytes.
func ber(tag byte, value ...byte) []byte {
	switch n := len(value); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, value...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, value...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, value...)
	}
}

func cat(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// unavailable is the result 52 with a text, of some kind of response.
func unavailable(tag byte, text string) []byte {
	return ber(tag, cat(ber(0x0a, 52), ber(0x04), ber(0x04, []byte(text)...))...)
}

func ldapPage(text string) speechPage {
	return speechPage{testResponse{bytes: ber(0x30, cat(ber(0x02, 1), unavailable(0x61, text))...)}, DirectorSpeechSPEECH_LDAP}
}

// ldapResponse is a message whose length has two bytes whatever it is.
func ldapResponse(number []byte, op []byte) []byte {
	content := cat(ber(0x02, number...), op)
	return append([]byte{0x30, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
}

// TestSpeechLDAP: the response has the number and the kind that go with the
// request's, and is the same result whatever that was.
func TestSpeechLDAP(t *testing.T) {
	r := newRig(t)
	last, done := DirectorVerdictANSWER_LAST, DirectorVerdictANSWER_ACK
	numbers := [][]byte{{1}, {2}, {0x7f}, {0}, {0x00, 0x80}, {0x2e, 0x1f}, {0x01, 0, 0}, {0x7f, 0xff, 0xff, 0xff}}
	kinds := map[byte]byte{ // RFC 4511, 4.2 to 4.12
		0x60: 0x61, 0x63: 0x65, 0x66: 0x67, 0x68: 0x69, 0x4a: 0x6b, 0x6c: 0x6d, 0x6e: 0x6f, 0x77: 0x78,
	}
	startTLS := ber(0x77, ber(0x80, []byte("1.3.6.1.4.1.1466.20037")...)...)
	texts := []string{"", "down", "down!", strings.Repeat("x", 103), strings.Repeat("x", 104), strings.Repeat("y", 200), strings.Repeat("z", 400)}
	if testing.Short() {
		texts = texts[:2]
	}
	for _, text := range texts {
		page := ldapPage(text)
		end := uint32(len(page.bytes))
		first := turn{
			name: "start TLS", says: string(ber(0x30, cat(ber(0x02, 1), startTLS)...)),
			verdict: last, answer: ldapResponse([]byte{1}, unavailable(0x78, text)), class: 3,
		}
		turns := []turn{
			first,
			{name: "handshake", verdict: DirectorVerdictDROP_ACK},
			{name: "connect and close", fin: true, verdict: last},
			{name: "unbind", says: string(ber(0x30, cat(ber(0x02, 3), ber(0x42))...)), verdict: last},
			{name: "abandon", says: string(ber(0x30, cat(ber(0x02, 3), ber(0x50, 2))...)), verdict: last},
			{name: "client hello", says: "\x16\x03\x01\x02\x00\x01\x00\x00", verdict: last, answer: page.bytes},
			{name: "one byte", says: "0", verdict: last, answer: page.bytes},
			{name: "five bytes of number", says: string(ber(0x30, cat(ber(0x02, 1, 2, 3, 4, 5), startTLS)...)), verdict: last, answer: page.bytes},
			{name: "no number", says: string(ber(0x30, cat(ber(0x02), startTLS)...)), verdict: last, answer: page.bytes},
			{name: "no operation", says: string(ber(0x30, ber(0x02, 1)...)), verdict: last, answer: page.bytes},
			{name: "a kind of no request", says: string(ber(0x30, cat(ber(0x02, 1), ber(0x0a, 1))...)), verdict: last, answer: page.bytes},
			{name: "bind and fin", says: string(ber(0x30, cat(ber(0x02, 1), ber(0x60, 2, 1, 3))...)), fin: true, verdict: last, answer: ldapResponse([]byte{1}, unavailable(0x61, text)), class: 3},
			{name: "no window for the fin", says: first.says, window: uint16(len(first.answer)), verdict: DirectorVerdictDROP_WINDOW},
			{name: "window for it", says: first.says, window: uint16(len(first.answer) + 1), verdict: last, answer: first.answer},
			{name: "the end", offset: end + 1, verdict: DirectorVerdictDROP_DONE},
			{name: "the end of a longer one", offset: end + 6, verdict: DirectorVerdictDROP_DONE},
			{name: "unbind after the end", offset: end + 1, says: string(ber(0x30, cat(ber(0x02, 2), ber(0x42))...)), verdict: done},
			{name: "fin after the end", offset: end + 3, fin: true, verdict: done},
		}
		for kind, response := range kinds {
			for i, number := range numbers {
				length := []int{0, 10, 200, 1000}[i%4]
				request := ber(0x30, cat(ber(0x02, number...), ber(kind, make([]byte, length)...))...)
				turns = append(turns, turn{
					name: fmt.Sprintf("%#x, number %x, %d bytes", kind, number, length), says: string(request),
					verdict: last, answer: ldapResponse(number, unavailable(response, text)), class: 3,
				})
			}
		}
		// Some servers and clients make four bytes of every length.
		turns = append(turns, turn{
			name: "long length", says: "\x30\x84\x00\x00\x00\x0c\x02\x01\x07\x60\x07\x02\x01\x03\x04\x00\x80\x00",
			verdict: last, answer: ldapResponse([]byte{7}, unavailable(0x61, text)), class: 3,
		})
		t.Run(fmt.Sprintf("%d bytes", end), func(t *testing.T) {
			r.plays(t, page, turns)
			r.orphaned(t, page)
			r.headed(t, page, first)
		})
	}
}
