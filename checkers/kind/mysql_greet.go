// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// What of MySQL's protocol a greeting needs: the MySQL Server Doc, "Connection
// Phase Packets". MariaDB's is the same here.
const (
	mysqlProtocol = 10
	mysqlOK       = 0x00
	mysqlMore     = 0x01
	mysqlSwitch   = 0xfe
	mysqlError    = 0xff

	mysqlLongPassword = 1 << 0
	mysqlProtocol41   = 1 << 9
	mysqlTLS          = 1 << 11
	mysqlSecure       = 1 << 15
	mysqlPluginAuth   = 1 << 19

	mysqlMaxPacket = 64 << 10
	mysqlUTF8      = 45 // utf8mb4_general_ci
)

// greet passes when a server greets and then turns a stranger down, or lets it
// in. Whoever hangs up after the greeting is counted, and blocked after
// max_connect_errors: a login that is complete, even one that is denied, is not.
func (m *mysqlCheck) greet(t *dialog) checkers.Result {
	version, err := m.greeted(t)
	if err != nil {
		return t.lost(err, "no greeting")
	}
	t.step("greeted by %s", version)
	if err := m.stranger(t); err != nil {
		return t.lost(err, "no answer to a login")
	}
	return m.secure.watchIf(t, t.pass("greeted by %s", version))
}

// greeted reads the server's greeting and returns its version.
func (m *mysqlCheck) greeted(t *dialog) (string, error) {
	_, greeting, err := mysqlRead(t)
	if err != nil {
		return "", err
	}
	version, rest, whole := bytes.Cut(greeting[1:], []byte{0})
	const lowFlags = 4 + 8 + 1 // after the thread, half the salt and a zero
	if greeting[0] != mysqlProtocol || !whole || len(rest) < lowFlags+2 {
		return "", found(checkers.ClassProtocol, "the server's greeting is not one of MySQL")
	}
	if m.secure == nil {
		return checkers.Clip(string(version), 60), nil
	}
	if binary.LittleEndian.Uint16(rest[lowFlags:])&mysqlTLS == 0 {
		return "", found(checkers.ClassTLS, "the server does not speak TLS")
	}
	if err := mysqlWrite(t, 1, mysqlHello(mysqlTLS)); err != nil {
		return "", err
	}
	return checkers.Clip(string(version), 60), t.encrypt(m.secure)
}

// stranger logs in as one that the server need not know.
func (m *mysqlCheck) stranger(t *dialog) error {
	seq, flags := byte(1), uint32(0)
	if m.secure != nil {
		seq, flags = 2, mysqlTLS
	}
	hello := append(mysqlHello(flags), "maitred\x00\x00mysql_native_password\x00"...) // with an empty password
	if err := mysqlWrite(t, seq, hello); err != nil {
		return err
	}
	const rounds = 5 // no plugin of theirs has so many
	for range rounds {
		seq, answer, err := mysqlRead(t)
		if err != nil {
			return err
		}
		switch answer[0] {
		case mysqlOK:
			const quit = 0x01
			_ = mysqlWrite(t, 0, []byte{quit}) // the verdict stands; one who denied us reads no more
			return nil
		case mysqlSwitch, mysqlMore: // to another way of logging in
			if err := mysqlWrite(t, seq+1, nil); err != nil {
				return err
			}
		default:
			return found(checkers.ClassProtocol, "the server's answer to a login begins with %#x", answer[0])
		}
	}
	return found(checkers.ClassProtocol, "the server comes to no end with a login")
}

// mysqlHello begins a login, or asks for TLS.
func mysqlHello(flags uint32) []byte {
	flags |= mysqlLongPassword | mysqlProtocol41 | mysqlSecure | mysqlPluginAuth
	hello := binary.LittleEndian.AppendUint32(nil, flags)
	hello = binary.LittleEndian.AppendUint32(hello, mysqlMaxPacket)
	hello = append(hello, mysqlUTF8)
	return append(hello, make([]byte, 23)...)
}

func mysqlWrite(t *dialog, seq byte, body []byte) error {
	size := len(body)
	return t.send(append([]byte{byte(size), byte(size >> 8), byte(size >> 16), seq}, body...))
}

// mysqlRead reads a packet that holds something. One that denies a stranger is
// read as OK: it shows that the server works. Any other error is a finding.
func mysqlRead(t *dialog) (seq byte, body []byte, err error) {
	header, err := t.read(4)
	if err != nil {
		return 0, nil, err
	}
	size := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	if size == 0 || size > mysqlMaxPacket {
		return 0, nil, found(checkers.ClassProtocol, "the server does not speak MySQL: a packet of %d bytes", size)
	}
	if body, err = t.read(size); err != nil || body[0] != mysqlError || size < 3 {
		return header[3], body, err
	}
	number, text := binary.LittleEndian.Uint16(body[1:]), string(body[3:])
	const denied = "28000"
	if state, ok := strings.CutPrefix(text, "#"); ok && len(state) >= len(denied) {
		if text = state[len(denied):]; strings.HasPrefix(state, denied) {
			t.step("turned down as a stranger: error %d: %s", number, text)
			return header[3], []byte{mysqlOK}, nil
		}
	}
	return 0, nil, found(checkers.ClassStatus, "error %d: %s", number, text)
}
