// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// TestRabbitMQ checks a broker with the user that it has from its start.
func TestRabbitMQ(t *testing.T) {
	t.Parallel() // it takes seconds to start
	program := findProgram(t, "rabbitmq-server", "rabbitmq-server", "/usr/lib/rabbitmq/bin")
	if real := "/usr/lib/rabbitmq/bin/rabbitmq-server"; fileExists(real) {
		program = real // and not Debian's, which insists on its own user
	}
	id := newIdentity(t, time.Now().Add(time.Hour), "broker.example")
	dir, plain, secure, dist, epmd := t.TempDir(), freePort(t), freePort(t), freePort(t), freePort(t)
	conf := fmt.Sprintf("listeners.tcp.1 = %s\nlisteners.ssl.1 = %s\nssl_options.certfile = %s\nssl_options.keyfile = %s\nssl_options.verify = verify_none\n"+
		"default_user = probe\ndefault_pass = right\nloopback_users = none\n", plain, secure, id.certFile, id.keyFile)
	server := exec.Command(program)
	server.Env = append(os.Environ(), "HOME="+dir, "RABBITMQ_CONFIG_FILE="+writeFile(t, "rabbitmq.conf", conf),
		"RABBITMQ_NODENAME=maitred-"+portOf(dist)+"@localhost", "RABBITMQ_DIST_PORT="+portOf(dist), "ERL_EPMD_PORT="+portOf(epmd), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "data"), "RABBITMQ_LOG_BASE="+dir, "RABBITMQ_LOGS=-", "RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "plugins"), "RABBITMQ_PID_FILE="+filepath.Join(dir, "pid"))
	login := func(password string, more m) m {
		all := m{"user": "probe", "password_file": writeFile(t, "password", password)}
		for key, value := range more {
			all[key] = value
		}
		return all
	}
	t.Cleanup(func() { _ = exec.Command("epmd", "-port", portOf(epmd), "-kill").Run() }) // which the broker leaves behind
	runServer(t, server, passes(t, plain, "amqp", login("right", nil)))
	for _, test := range []serverTest{
		{"greeting", nil, pass, none, "the broker greets"},
		{"login", login("right", nil), pass, none, "the user may open /"},
		{"wrong password", login("wrong", nil), failed, checkers.ClassStatus, "the broker refuses: ACCESS_REFUSED - *(403)"},
		{"no such virtual host", login("right", m{"vhost": "shop"}), failed, checkers.ClassStatus, "the broker refuses: NOT_ALLOWED - vhost shop not found (530)"},
		{"in the clear", m{"tls": true}, failed, checkers.ClassTLS, "the server does not speak TLS on this port"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "amqp", plain) })
	}
	for _, test := range []serverTest{
		{"TLS", login("right", m{"tls": true, "sni": "broker.example", "ca_file": id.certFile}), pass, none, "the user may open /"},
		{"another name", login("right", m{"tls": true, "sni": "no.example", "ca_file": id.certFile}), failed, checkers.ClassTLS, "tls: failed to verify certificate: *"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "amqp", secure) })
	}
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func TestAMQPSick(t *testing.T) {
	testSick(t, "amqp", m{"user": "probe", "password_file": writeFile(t, "p", "right")})
	for _, test := range []struct {
		name, says string
		class      checkers.Class
		message    string
	}{
		{"another version", "AMQP\x00\x01\x00\x00", checkers.ClassProtocol, "the broker does not speak AMQP 0-9-1"},
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n", checkers.ClassProtocol, "the server does not speak AMQP"},
		{"closes", "\x01\x00\x00\x00\x00\x00\x0d\x00\x0a\x00\x32\x01\x40\x02no\x00\x00\x00\x00\xce", checkers.ClassStatus, "the broker refuses: no (320)"},
		{"a text that lies", "\x01\x00\x00\x00\x00\x00\x07\x00\x0a\x00\x32\x01\x40\xff\xce", checkers.ClassProtocol, "the broker answers with method 50, wanted 10"},
		{"another method", "\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x1e\xce", checkers.ClassProtocol, "the broker answers with method 30, wanted 10"},
		{"no end of the frame", "\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\x00", checkers.ClassProtocol, "the server does not speak AMQP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 8))
				_, _ = io.WriteString(conn, test.says)
			})
			serverTest{"", nil, failed, test.class, test.message}.run(t, "amqp", server)
		})
	}
	mistakeTest{"vhost without user", "amqp", m{"vhost": "shop"}, []string{"vhost: needs a login: give user"}}.run(t)
}
