// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"testing"
)

// postgresPage is two refusals and an ErrorResponse.
func postgresPage() speechPage {
	fields := "SFATAL\x00VFATAL\x00C57P03\x00MThe service is down for the moment.\x00\x00"
	b := append([]byte("NNE"), binary.BigEndian.AppendUint32(nil, uint32(4+len(fields)))...)
	return speechPage{testResponse{bytes: append(b, fields...), head: 2}, DirectorSpeechSPEECH_POSTGRES}
}

// What a client begins with.
var (
	sslRequest    = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	gssRequest    = "\x00\x00\x00\x08\x04\xd2\x16\x30"
	cancelRequest = "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02"
	startup       = "\x00\x00\x00\x16\x00\x03\x00\x00user\x00postgres\x00\x00"
)

// TestSpeechPostgres: a wish is refused, and then the error stands where the
// client has come to.
func TestSpeechPostgres(t *testing.T) {
	r := newRig(t)
	page := postgresPage()
	refusal, err, length := page.bytes[:1], page.bytes[2:], uint32(len(page.bytes))
	last, refused, done := DirectorVerdictANSWER_LAST, DirectorVerdictANSWER_TURN, DirectorVerdictANSWER_ACK
	turns := []turn{
		{name: "startup", says: startup, verdict: last, answer: err},
		{name: "handshake", verdict: DirectorVerdictDROP_ACK},
		{name: "tls", says: sslRequest, verdict: refused, answer: refusal},
		{name: "gssapi", says: gssRequest, verdict: refused, answer: refusal},
		{name: "refused, nothing more yet", offset: 1, verdict: DirectorVerdictDROP_ACK},
		{name: "tls, then startup", offset: 1, says: startup, verdict: last, answer: err},
		{name: "gssapi, then tls", offset: 1, says: sslRequest, verdict: refused, answer: refusal},
		{name: "gssapi, tls, then startup", offset: 2, says: startup, verdict: last, answer: err},
		{name: "a third wish", offset: 2, says: sslRequest, verdict: last, answer: err},
		{name: "tls required, so goodbye", offset: 1, fin: true, verdict: last},
		{name: "connect and close", fin: true, verdict: last},
		{name: "wish and fin", says: sslRequest, fin: true, verdict: last, answer: err},
		{name: "startup and fin", says: startup, fin: true, verdict: last, answer: err},
		{name: "half a wish", says: sslRequest[:4], verdict: last, answer: err},
		{name: "wish and more", says: sslRequest + "\x16\x03\x01", verdict: last, answer: err},
		{name: "cancel", says: cancelRequest, verdict: last, answer: err},
		{name: "other code", says: "\x00\x00\x00\x08\x04\xd2\x16\x31", verdict: last, answer: err},
		{name: "client hello", says: "\x16\x03\x01\x02\x00\x01\x00\x00", verdict: last, answer: err},
		{name: "window for the refusal", says: sslRequest, window: 1, verdict: refused, answer: refusal},
		{name: "no window for the fin", says: startup, window: uint16(length - 2), verdict: DirectorVerdictDROP_WINDOW},
		{name: "window for it", says: startup, window: uint16(length - 1), verdict: last, answer: err},
	}
	for offset := length - 2; offset <= length+1; offset++ {
		turns = append(turns,
			turn{name: "the end", offset: offset, verdict: DirectorVerdictDROP_DONE},
			turn{name: "terminate after the end", offset: offset, says: "X\x00\x00\x00\x04", verdict: done},
			turn{name: "fin after the end", offset: offset, fin: true, verdict: done})
	}
	r.plays(t, page, turns)
	r.orphaned(t, page)
	r.headed(t, page, turns[0])
}
