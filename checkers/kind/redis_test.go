// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// TestRedis checks a master in clear and in TLS, and a replica of it.
func TestRedis(t *testing.T) {
	id := newIdentity(t, time.Now().Add(time.Hour), "cache.example")
	right, wrong := writeFile(t, "right", "right\n"), writeFile(t, "wrong", "wrong\n")
	master, secure, replica := freePort(t), freePort(t), freePort(t)
	start := func(target netip.AddrPort, ready m, more ...string) {
		server := exec.Command(findProgram(t, "redis-server", "redis-server"), append([]string{
			"--bind", "127.0.0.1", "--port", portOf(target), "--save", "", "--dir", t.TempDir(),
			"--requirepass", "right", "--masterauth", "right", "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes", "--rdbcompression", "no",
		}, more...)...)
		runServer(t, server, passes(t, target, "redis", ready))
	}
	login := func(more m) m {
		all := m{"password_file": right}
		for key, value := range more {
			all[key] = value
		}
		return all
	}
	start(master, login(nil), "--tls-port", portOf(secure), "--tls-cert-file", id.certFile, "--tls-key-file", id.keyFile,
		"--tls-ca-cert-file", id.certFile, "--tls-auth-clients", "no")
	do := func(target netip.AddrPort, words ...string) {
		t.Helper()
		runTool(t, exec.Command(findProgram(t, "redis-tools", "redis-cli"), append([]string{"--no-auth-warning", "-a", "right", "-p", portOf(target)}, words...)...))
	}
	run := func(target netip.AddrPort, tests ...serverTest) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) { test.run(t, "redis", target) })
		}
	}
	do(master, "ACL", "SETUSER", "probe", "on", ">right", "+@all", "~*")
	inTLS := func(name string) m { return login(m{"tls": true, "sni": name, "ca_file": id.certFile}) }
	run(master, []serverTest{
		{"login", login(nil), pass, none, "PONG"},
		{"login of a user", login(m{"user": "probe"}), pass, none, "PONG"},
		{"no login", nil, failed, checkers.ClassStatus, "NOAUTH Authentication required. (give the check a password_file)"},
		{"wrong password", m{"password_file": wrong}, failed, checkers.ClassStatus, "WRONGPASS invalid username-password pair or user is disabled. (look at user and password_file)"},
		{"wrong user", login(m{"user": "nobody"}), failed, checkers.ClassStatus, "WRONGPASS invalid username-password pair or user is disabled. (look at user and password_file)"},
		{"master", login(m{"role": "master"}), pass, none, "a master with 0 replicas"},
		{"replica wanted", login(m{"role": "replica"}), failed, checkers.ClassStatus, "the server is a master, wanted a replica"},
		{"replicas wanted", login(m{"min_replicas": 1}), failed, checkers.ClassStatus, "the master has 0 replicas, wanted at least 1"},
		{"no maintenance", login(m{"maintenance_key": "maint"}), pass, none, "PONG"},
		{"in the clear", inTLS("cache.example"), failed, checkers.ClassStalled, "connected, but no TLS handshake within *"},
	}...)
	run(secure, []serverTest{
		{"in TLS", inTLS("cache.example"), pass, none, "PONG"},
		{"another name", inTLS("no.example"), failed, checkers.ClassTLS, "tls: failed to verify certificate: *"},
	}...)
	do(master, "SET", "maint", "0")
	redisDrains(t, master, must(t, "valkey", login(m{"maintenance_key": "maint"})))
	follows := login(m{"role": "replica", "max_lag": "20s"})
	start(replica, follows, "--replicaof", "127.0.0.1", portOf(master))
	run(replica, serverTest{"replica", follows, pass, none, "a replica"})
	run(master, serverTest{"enough replicas", login(m{"min_replicas": 1}), pass, none, "a master with 1 replicas"})
	do(replica, "REPLICAOF", "127.0.0.1", portOf(freePort(t)))
	run(replica, []serverTest{
		{"lost master", follows, failed, checkers.ClassStatus, "the replica has lost its master: master_link_status is down"},
		{"lag does not matter", login(m{"role": "replica"}), pass, none, "a replica"},
	}...)
	redisLoads(t, replica, do)
}

// redisDrains wants a pass with the wish for a drain.
func redisDrains(t *testing.T, server netip.AddrPort, checker checkers.Checker) {
	r := checkFor(t, 10*time.Second, checker, server)
	wantAnswer(t, r, pass, none, "redis "+server.String()+": PONG, and the key maint asks for a drain")
	if r.Hint != checkers.HintDrain {
		t.Errorf("the hint is %s, want drain", r.Hint)
	}
}

// redisLoads has a server load its data for so long that a check sees it.
func redisLoads(t *testing.T, server netip.AddrPort, do func(netip.AddrPort, ...string)) {
	right := m{"password_file": writeFile(t, "right", "right")}
	do(server, "REPLICAOF", "NO", "ONE")
	do(server, "CONFIG", "SET", "key-load-delay", "200000") // microseconds a key
	do(server, "CONFIG", "SET", "loading-process-events-interval-bytes", "1024")
	do(server, "EVAL", "for i = 1, 30 do redis.call('SET', i, string.rep('x', 2000) .. i) end", "0")
	reload := make(chan error, 1)
	go func() {
		reload <- exec.Command("redis-cli", "--no-auth-warning", "-a", "right", "-p", portOf(server), "DEBUG", "RELOAD").Run()
	}()
	wait(t, func() error {
		r := checkFor(t, 5*time.Second, must(t, "redis", right), server)
		if r.Class != checkers.ClassStatus {
			return errors.New(r.Message)
		}
		wantAnswer(t, r, failed, checkers.ClassStatus, "redis "+server.String()+": LOADING *")
		return nil
	})
	do(server, "CONFIG", "SET", "key-load-delay", "0")
	if err := <-reload; err != nil {
		t.Errorf("reload: %v", err)
	}
}

func TestRedisSick(t *testing.T) {
	testSick(t, "redis", m{"role": "master"})
	bulk := func(text string) string { return "+PONG\r\n$" + strconv.Itoa(len(text)) + "\r\n" + text + "\r\n" }
	slave := "role:slave\r\nmaster_link_status:up\r\n"
	for _, test := range []struct {
		name    string
		options m
		says    string
		outcome checkers.Outcome
		class   checkers.Class
		message string
	}{
		{"another protocol", nil, "220 mail.example ESMTP\r\n", failed, checkers.ClassProtocol, `the server does not speak RESP: it answers "220 mail.example ESMTP"`},
		{"an empty line", nil, "\r\n", failed, checkers.ClassProtocol, `the server does not speak RESP: it answers ""`},
		{"another word", nil, "+PING\r\n", failed, checkers.ClassContent, `the answer to PING is "PING", wanted PONG`},
		{"endless line", nil, "+" + string(make([]byte, 10000)), failed, checkers.ClassProtocol, "the server sends a line longer than 4096 bytes"},
		{"huge answer", nil, "$2000000000\r\n", failed, checkers.ClassProtocol, `the server does not speak RESP: it answers "$2000000000"`},
		{"half an answer", m{"role": "master"}, "+PONG\r\n$100\r\nrole:", failed, checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
		{"no role", m{"role": "master"}, bulk("x:y\r\n"), failed, checkers.ClassProtocol, "the server does not tell its role"},
		{"no lag", m{"max_lag": "5s"}, bulk(slave), failed, checkers.ClassProtocol, "the replica does not tell when it last heard of its master"},
		{"behind", m{"max_lag": "5s"}, bulk(slave + "master_last_io_seconds_ago:6\r\n"), degraded, none, "a replica, but 6s behind, wanted 5s at most"},
		{"far behind", m{"max_lag": "5s", "on_lag": "fail"}, bulk(slave + "master_last_io_seconds_ago:6\r\n"), failed, checkers.ClassStatus, "a replica, but 6s behind, wanted 5s at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 100))
				_, _ = io.WriteString(conn, test.says)
			})
			serverTest{"", test.options, test.outcome, test.class, test.message}.run(t, "redis", server)
		})
	}
	for _, test := range []mistakeTest{
		{"user without password", "redis", m{"user": "a"}, []string{"user: has no effect without password_file: give it, or remove this one"}},
		{"replicas of a replica", "redis", m{"role": "replica", "min_replicas": 2}, []string{"min_replicas: is for masters: remove it, or set role: master"}},
		{"role", "redis", m{"role": "slave"}, []string{`role: "slave" is none of master, replica`}},
	} {
		t.Run(test.name, test.run)
	}
}

// TestMemcached checks one, whose connections the test fills.
func TestMemcached(t *testing.T) {
	target := freePort(t)
	args := []string{"-l", "127.0.0.1", "-p", portOf(target), "-U", "0", "-c", "100", "-t", "1", "-u", "root"}
	runServer(t, exec.Command(findProgram(t, "memcached", "memcached"), args...), answers(target))
	for _, test := range []serverTest{
		{"version", nil, pass, none, "version 1.*"},
		{"few connections", m{"max_connections": 60}, pass, none, "version 1.*, * of 100 connections"},
		{"TLS", m{"tls": true}, failed, checkers.ClassTLS, "the server does not speak TLS on this port"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "memcached", target) })
	}
	for range 70 {
		conn, err := net.Dial("tcp", target.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	serverTest{"", m{"max_connections": 60}, degraded, none, "version 1.*, but * of 100 connections are open (* %), wanted 60 % at most"}.run(t, "memcached", target)
}

func TestMemcachedSick(t *testing.T) {
	testSick(t, "memcached", m{"max_connections": 50})
	const version = "VERSION 1.6.18\r\n"
	for _, test := range []struct {
		name, says string
		class      checkers.Class
		message    string
	}{
		{"another protocol", "+PONG\r\n", checkers.ClassProtocol, `the server does not speak memcached's text protocol: it answers "+PONG"`},
		{"error", "SERVER_ERROR out of memory\r\n", checkers.ClassStatus, "SERVER_ERROR out of memory"},
		{"no statistics", version + "END\r\n", checkers.ClassProtocol, "the server does not tell how many connections it has, of how many"},
		{"nonsense in statistics", version + "STAT max_connections many\r\nEND\r\n", checkers.ClassProtocol, "the server does not tell how many connections it has, of how many"},
		{"statistics that break off", version + "STAT max_conn", checkers.ClassProtocol, "the server closed the connection before the end of its answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 100))
				_, _ = io.WriteString(conn, test.says)
				_, _ = conn.Read(make([]byte, 100))
			})
			serverTest{"", m{"max_connections": 50}, failed, test.class, test.message}.run(t, "memcached", server)
		})
	}
}
