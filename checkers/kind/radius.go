// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2865 knows no other
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// The codes and attributes of RADIUS that a check uses: RFC 2865, RFC 3579,
// RFC 5997.
const (
	radiusAccessRequest = 1
	radiusAccessAccept  = 2
	radiusAccessReject  = 3
	radiusAccounting    = 5 // a response, to Status-Server on that port
	radiusChallenge     = 11
	radiusStatusServer  = 12

	radiusUserName      = 1
	radiusUserPassword  = 2
	radiusNASIdentifier = 32
	radiusSignature     = 80 // Message-Authenticator

	radiusHeader = 20
)

// radius passes when a RADIUS server answers Status-Server, or takes a user.
type radius struct {
	inquiry
	secret         []byte
	user, password string
	expect         string
}

func radiusOptions() []Option {
	return append([]Option{
		{Name: "secret_file", Form: FormFile, Doc: "A file with the secret that the server shares with the director, on its first line."},
		{Name: "expect", Form: FormText, Default: "accept", Values: []string{"accept", "reject", "any"}, Doc: "What the server has to answer for the user."},
	}, loginOptions()...)
}

func newRadius(env Env, o *options) checkers.Checker {
	r := &radius{
		inquiry: inquiry{env.Dialer.DialUDP, "answers came, but none that is signed with secret_file: no other"},
		secret:  []byte(o.secret("secret_file")),
		expect:  o.choice("expect", "accept", "accept", "reject", "any"),
	}
	if _, ok := o.values["secret_file"]; !ok {
		o.need("secret_file")
	}
	r.user, r.password = o.login()
	o.unprivileged(r.user, "expect")
	if r.user != "" && r.password == "" {
		o.reject([]string{"user"}, "needs a password: give password_file, or remove this one")
	}
	for key, text := range map[string]string{"user": r.user, "password_file": r.password} {
		const longest = 128 // RFC 2865 section 5.2; names may be longer
		if len(text) > longest {
			o.reject([]string{key}, "is longer than the %d bytes of RADIUS", longest)
		}
	}
	return r
}

// Check implements Checker.
func (r *radius) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "radius "+target.String())
	request := r.request()
	return r.put(ctx, a, target, func(net.Addr) []byte { return request }, func(answer []byte) (checkers.Result, bool) {
		if !r.ours(request, answer) {
			return checkers.Result{}, false
		}
		return r.judge(a, answer[0]), true
	})
}

func (r *radius) judge(a attempt, code byte) checkers.Result {
	names := map[byte]string{radiusAccessAccept: "accept", radiusAccessReject: "reject", radiusChallenge: "challenge", radiusAccounting: "accounting"}
	name, known := names[code]
	switch {
	case !known:
		return a.fail(checkers.ClassProtocol, "the server answers with code %d", code)
	case r.user == "" && (code == radiusAccessAccept || code == radiusAccounting):
		return a.pass("the server answers Status-Server")
	case r.user == "":
		return a.fail(checkers.ClassStatus, "the answer to Status-Server is a %s", name)
	case r.expect == "any", r.expect == name:
		return a.pass("the answer for the user is %s", name)
	}
	return a.fail(checkers.ClassStatus, "the answer for the user is %s, wanted %s", name, r.expect)
}

// request makes a packet with a random identifier and authenticator, signed.
func (r *radius) request() []byte {
	packet := make([]byte, radiusHeader, 512)
	_, _ = rand.Read(packet) // never fails
	packet[0] = radiusStatusServer
	if r.user != "" {
		packet[0] = radiusAccessRequest
		packet = radiusAttribute(packet, radiusUserName, []byte(r.user))
		packet = radiusAttribute(packet, radiusUserPassword, r.hidden(packet[4:radiusHeader]))
	}
	packet = radiusAttribute(packet, radiusNASIdentifier, []byte("maitred"))
	packet = radiusAttribute(packet, radiusSignature, make([]byte, md5.Size))
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	copy(packet[len(packet)-md5.Size:], r.sign(packet)) // over itself as zeros
	return packet
}

func radiusAttribute(packet []byte, kind byte, value []byte) []byte {
	return append(append(packet, kind, byte(len(value)+2)), value...)
}

// sign is the Message-Authenticator of a packet: RFC 3579 section 3.2.
func (r *radius) sign(packet []byte) []byte {
	mac := hmac.New(md5.New, r.secret)
	_, _ = mac.Write(packet) // never fails
	return mac.Sum(nil)
}

// hidden is the password as it goes over the wire: RFC 2865 section 5.2.
func (r *radius) hidden(authenticator []byte) []byte {
	text := []byte(r.password)
	if rest := len(text) % md5.Size; rest != 0 {
		text = append(text, make([]byte, md5.Size-rest)...)
	}
	last := authenticator
	for i := 0; i < len(text); i += md5.Size {
		pad := md5.Sum(append(bytes.Clone(r.secret), last...)) //nolint:gosec // see above
		subtle.XORBytes(text[i:i+md5.Size], text[i:i+md5.Size], pad[:])
		last = text[i : i+md5.Size]
	}
	return text
}

// ours tells whether a packet is the answer of one who knows the secret: RFC
// 2865 section 3, and RFC 3579 section 3.2 where it is signed that way as well.
func (r *radius) ours(request, answer []byte) bool {
	if len(answer) < radiusHeader || answer[1] != request[1] {
		return false
	}
	size := int(binary.BigEndian.Uint16(answer[2:]))
	if size < radiusHeader || size > len(answer) {
		return false
	}
	answer = bytes.Clone(answer[:size])
	signed := bytes.Clone(answer[4:radiusHeader])
	copy(answer[4:], request[4:radiusHeader])
	sum := md5.Sum(append(bytes.Clone(answer), r.secret...)) //nolint:gosec // see above
	if !hmac.Equal(sum[:], signed) {
		return false
	}
	for rest := answer[radiusHeader:]; len(rest) > 0; {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return false
		}
		if rest[0] == radiusSignature {
			given := bytes.Clone(rest[2:rest[1]])
			clear(rest[2:rest[1]])
			return hmac.Equal(r.sign(answer), given)
		}
		rest = rest[rest[1]:]
	}
	return true
}
