// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
)

// TestMySQLMalformed has packets that are whole and lack what they should hold.
func TestMySQLMalformed(t *testing.T) {
	login := m{"user": "probe", "password_file": writeFile(t, "p", "right"), "query": "SELECT 1"}
	greeting := "\x0a8.0.0\x00\x01\x00\x00\x0012345678\x00\x00\x82\x21\x02\x00\x08\x00\x15" + strings.Repeat("\x00", 10) + "123456789012\x00mysql_native_password\x00"
	packet := func(number byte, body string) string {
		return string([]byte{byte(len(body)), byte(len(body) >> 8), 0, number}) + body
	}
	for _, test := range []struct {
		name string
		says []string
	}{
		{"a column that breaks off", []string{packet(0, greeting), packet(2, "\x00\x00\x00\x02\x00\x00\x00"), packet(1, "\x01") + packet(2, "\x00\x00\x00\x00\x00\x00")}},
		{"more columns than there can be", []string{packet(0, greeting), packet(2, "\x00\x00\x00\x02\x00\x00\x00"), packet(1, "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				for i, word := range test.says {
					if i > 0 {
						_, _ = conn.Read(make([]byte, 1000))
					}
					_, _ = io.WriteString(conn, word)
				}
				_, _ = io.Copy(io.Discard, conn)
			})
			serverTest{"", login, failed, checkers.ClassProtocol, "the server does not speak MySQL"}.run(t, "mysql", server)
		})
	}
}
