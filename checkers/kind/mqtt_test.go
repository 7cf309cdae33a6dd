// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// TestMosquitto checks a broker that takes no strangers, in clear and in TLS.
func TestMosquitto(t *testing.T) {
	broker, passwd := findProgram(t, "mosquitto", "mosquitto"), findProgram(t, "mosquitto", "mosquitto_passwd")
	id := newIdentity(t, time.Now().Add(time.Hour), "broker.example")
	plain, secure, open := freePort(t), freePort(t), freePort(t)
	users := writeFile(t, "users", "")
	runTool(t, exec.Command(passwd, "-b", users, "probe", "right"))
	conf := writeFile(t, "mosquitto.conf", fmt.Sprintf(`user root
per_listener_settings true
listener %s 127.0.0.1
password_file %s
listener %s 127.0.0.1
password_file %[2]s
certfile %[4]s
keyfile %[5]s
listener %[6]s 127.0.0.1
allow_anonymous true
max_connections 0
`, portOf(plain), users, portOf(secure), id.certFile, id.keyFile, portOf(open)))
	server := exec.Command(broker, "-c", conf)
	runServer(t, server, answers(secure))
	login := m{"user": "probe", "password_file": writeFile(t, "right", "right\n")}
	with := func(more m) m {
		all := m{}
		for _, from := range []m{login, more} {
			for key, value := range from {
				all[key] = value
			}
		}
		return all
	}
	for _, test := range []serverTest{
		{"login", login, pass, none, "the broker takes clients"},
		{"login by version 5", with(m{"version": "5"}), pass, none, "the broker takes clients"},
		{"wrong password", with(m{"password_file": writeFile(t, "wrong", "wrong")}), failed, checkers.ClassStatus, "the broker refuses: not authorised: look at user and password_file (0x5)"},
		{"wrong password by version 5", with(m{"version": "5", "password_file": writeFile(t, "wrong", "wrong")}), failed, checkers.ClassStatus, "the broker refuses: not authorised: look at user and password_file (0x87)"},
		{"no login", nil, failed, checkers.ClassStatus, "the broker refuses: not authorised: look at user and password_file (0x5)"},
		{"in the clear", m{"tls": true}, failed, checkers.ClassTLS, "*"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "mqtt", plain) })
	}
	for _, test := range []serverTest{
		{"TLS", with(m{"tls": true, "sni": "broker.example", "ca_file": id.certFile}), pass, none, "the broker takes clients"},
		{"another name", with(m{"tls": true, "sni": "no.example", "ca_file": id.certFile}), failed, checkers.ClassTLS, "tls: failed to verify certificate: *"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "mqtt", secure) })
	}
}

func TestMQTTSick(t *testing.T) {
	testSick(t, "mqtt", nil)
	for _, test := range []struct {
		name, says string
		class      checkers.Class
		message    string
	}{
		{"unavailable", "\x20\x02\x00\x03", checkers.ClassStatus, "the broker refuses: it is unavailable (0x3)"},
		{"busy", "\x20\x03\x00\x89\x00", checkers.ClassStatus, "the broker refuses: it is busy (0x89)"},
		{"another version", "\x20\x02\x00\x01", checkers.ClassStatus, "the broker refuses: it does not speak this version: set another (0x1)"},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n", checkers.ClassProtocol, "the server does not speak MQTT: it answers 0x48"},
		{"a length that lies", "\x20\xff\xff\xff\x7f", checkers.ClassProtocol, "the server does not speak MQTT: it answers 0x20"},
		{"half an answer", "\x20\x02\x00", checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = io.WriteString(conn, test.says)
			})
			serverTest{"", nil, failed, test.class, test.message}.run(t, "mqtt", server)
		})
	}
}
