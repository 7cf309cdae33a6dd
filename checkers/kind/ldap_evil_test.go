// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
)

// TestLDAPMalformed has answers that are whole in BER and no messages of LDAP.
func TestLDAPMalformed(t *testing.T) {
	const alien = "the server does not speak LDAP"
	for _, test := range []struct {
		name    string
		options m
		says    string
	}{
		{"nothing but a number", nil, "\x30\x03\x02\x01\x01"},
		{"an entry without a name", nil, "\x30\x05\x02\x01\x01\x64\x00"},
		{"a name that is none", nil, "\x30\x08\x02\x01\x01\x64\x03\x02\x01\x01"},
		{"a reference to nowhere", nil, "\x30\x05\x02\x01\x01\x73\x00"},
		{"a code that is none", m{"starttls": true, "verify": false}, "\x30\x0c\x02\x01\x01\x78\x07\x8a\x01\x00\x04\x00\x04\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = io.WriteString(conn, test.says)
				_, _ = io.Copy(io.Discard, conn)
			})
			serverTest{"", test.options, failed, checkers.ClassProtocol, alien}.run(t, "ldap", server)
		})
	}
}

// TestLDAPNested sends elements in elements. The library keeps the content of
// each, so that they take as much memory as the square of what is sent.
func TestLDAPNested(t *testing.T) {
	for name, options := range map[string]m{"search": nil, "StartTLS": {"starttls": true, "verify": false}} {
		t.Run(name, func(t *testing.T) {
			const depth = 24 << 10
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = io.WriteString(conn, strings.Repeat("\x30\x80", depth)+strings.Repeat("\x00\x00", depth))
				_, _ = io.Copy(io.Discard, conn)
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			serverTest{"", options, failed, checkers.ClassProtocol, "the server sends more than 16384 bytes"}.run(t, "ldap", server)
			runtime.ReadMemStats(&after)
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 256 {
				t.Errorf("it took %d MiB", took)
			}
		})
	}
}
