// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// mqtt passes when a broker takes a client: MQTT 3.1.1 or 5.0 (OASIS), sections
// 3.1 and 3.2 of either.
type mqtt struct {
	talker
	level          byte
	user, password string
}

func mqttOptions() []Option {
	return append(append(loginOptions(), Option{
		Name: "version", Form: FormText, Default: "3.1.1", Values: []string{"3.1.1", "5"}, Doc: "The version of the protocol, in quotes.",
	}), inTLS()...)
}

func newMQTT(env Env, o *options) checkers.Checker {
	m := &mqtt{talker: talker{env.Dialer.Dial, readTLSFlag(o, "", "mqtt")}, level: 4}
	if o.choice("version", "3.1.1", "3.1.1", "5") == "5" {
		m.level = 5
	}
	m.user, m.password = o.login()
	return m
}

// Check implements Checker.
func (m *mqtt) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return m.with(ctx, newAttempt(ctx, "mqtt "+target.String()), target, func(t *dialog) checkers.Result {
		if err := m.connect(t); err != nil {
			return t.lost(err, "no answer to CONNECT")
		}
		_ = t.send([]byte{0xe0, 0}) // DISCONNECT; the verdict stands
		return t.pass("the broker takes clients")
	})
}

// connect sends CONNECT and reads CONNACK.
func (m *mqtt) connect(t *dialog) error {
	const (
		connack = 0x20
		longest = 4 << 10 // with the properties of version 5
	)
	if err := t.send(m.hello()); err != nil {
		return err
	}
	kind, err := t.r.ReadByte()
	if err != nil {
		return err
	}
	size, err := binary.ReadUvarint(t.r) // which is how MQTT writes lengths, too
	if err != nil {
		return err
	}
	if kind != connack || size < 2 || size > longest {
		return found(checkers.ClassProtocol, "the server does not speak MQTT: it answers %#x", kind)
	}
	answer, err := t.read(int(size))
	if err != nil {
		return err
	}
	if code := answer[1]; code != 0 {
		return found(checkers.ClassStatus, "the broker refuses: %s (%#x)", mqttReason(code), code)
	}
	return nil
}

// hello is a CONNECT with a clean session, under a name that nobody else has: a
// broker ends the connection of whoever had it before.
func (m *mqtt) hello() []byte {
	const clean, hasPassword, hasUser = 1 << 1, 1 << 6, 1 << 7
	flags, keepAlive := byte(clean), byte(60) // seconds
	if m.user != "" {
		flags |= hasUser
	}
	if m.password != "" {
		flags |= hasPassword
	}
	body := mqttText(nil, "MQTT")
	body = append(body, m.level, flags, 0, keepAlive)
	if m.level == 5 {
		body = append(body, 0) // no properties
	}
	body = mqttText(body, "maitred"+rand.Text()[:16]) // the 23 letters and digits that every broker takes
	if m.user != "" {
		body = mqttText(body, m.user)
	}
	if m.password != "" {
		body = mqttText(body, m.password)
	}
	return append(binary.AppendUvarint([]byte{0x10}, uint64(len(body))), body...)
}

func mqttText(to []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(text))), text...)
}

// mqttReason is a code of CONNACK in words: those of 3.1.1 are below 0x80.
func mqttReason(code byte) string {
	switch code {
	case 0x01, 0x84:
		return "it does not speak this version: set another"
	case 0x02, 0x85:
		return "it does not take the client's name"
	case 0x03, 0x88:
		return "it is unavailable"
	case 0x04, 0x86:
		return "user or password is wrong"
	case 0x05, 0x87:
		return "not authorised: look at user and password_file"
	case 0x89:
		return "it is busy"
	case 0x97, 0x9f:
		return "too many clients"
	}
	return "no client is taken"
}
