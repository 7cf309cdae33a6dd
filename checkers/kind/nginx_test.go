// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// nginxConf is one server in clear and one with TLS. Its pages are as good and
// as bad as those of real ones; that of /stalled waits for a server that never
// answers.
const nginxConf = `
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; scgi_temp_path tmp; uwsgi_temp_path tmp;
	server {
		listen {{plain}};
		listen {{tls}} ssl http2;
		ssl_certificate {{cert}};
		ssl_certificate_key {{key}};
		location = /healthz { return 200 "all is well\n"; }
		location = /broken  { return 500 "out of order\n"; }
		location = /moved   { return 301 /healthz; }
		location = /silent  { return 444; }
		location = /stalled { proxy_pass http://{{stalled}}; proxy_read_timeout 60s; }
		location = /host    { return 200 "host is $host, agent is $http_user_agent\n"; }
		location /          { return 404; }
	}
}
`

// nginxTest runs one check of nginx.
type nginxTest struct {
	name    string
	kind    string // of check; with "to", and the port that it is pointed at
	options m
	class   checkers.Class
	message string // after the address
}

func (test nginxTest) run(t *testing.T, plain, secure netip.AddrPort) {
	kind, port, crossed := strings.Cut(test.kind, " to ")
	if !crossed {
		port = kind
	}
	target := plain
	if port == "https" {
		target = secure
	}
	row := lookup(t, kind)
	checker, err := row.New(test.options)
	if err != nil {
		t.Fatal(err)
	}
	timeout := 10 * time.Second
	if test.class == checkers.ClassStalled {
		timeout = 500 * time.Millisecond
	}
	begin := map[string]string{"tcp": "connect ", "http": "GET http://", "https": "GET https://"}[kind]
	if test.options["method"] != nil {
		begin = "HEAD http://"
	}
	want := begin + target.String() + strings.ReplaceAll(test.message, "PLAINPORT", fmt.Sprint(plain.Port()))
	wantResult(t, checkFor(t, timeout, checker, target), test.class, want)
}

func TestNginx(t *testing.T) {
	binary := findNginx(t)
	id := newIdentity(t, time.Now().Add(time.Hour), "shop.example", "127.0.0.1")
	plain, secure := startNginx(t, binary, id)
	ca := id.certFile
	for _, test := range []nginxTest{
		{"connect", "tcp", nil, checkers.ClassNone, ": connected"},
		{"healthy", "http", m{"path": "/healthz"}, checkers.ClassNone, "/healthz: status 200"},
		{"healthy by HEAD", "http", m{"path": "/healthz", "method": "HEAD"}, checkers.ClassNone, "/healthz: status 200"},
		{"right text", "http", m{"path": "/healthz", "expect": m{"body": "is well"}}, checkers.ClassNone, "/healthz: status 200"},
		{"host and agent", "http", m{"path": "/host", "host": "shop.example", "expect": m{"body": "host is shop.example, agent is maitred"}}, checkers.ClassNone, "/host: status 200"},
		{"500", "http", m{"path": "/broken"}, checkers.ClassStatus, "/broken: status 500, wanted 200-299"},
		{"404", "http", nil, checkers.ClassStatus, "/: status 404, wanted 200-299"},
		{"404 wanted", "http", m{"expect": m{"status": []any{404}}}, checkers.ClassNone, "/: status 404"},
		{"redirect", "http", m{"path": "/moved", "host": "shop.example"}, checkers.ClassStatus, "/moved: status 301 (to http://shop.example:PLAINPORT/healthz), wanted 200-299"},
		{"wrong text", "http", m{"path": "/healthz", "expect": m{"body": "fine"}}, checkers.ClassContent, `/healthz: status 200, but "fine" is not in the body (12 bytes read)`},
		{"closes without a word", "http", m{"path": "/silent"}, checkers.ClassProtocol, "/silent: the server closed the connection before the end of its answer"},
		{"stalled", "http", m{"path": "/stalled"}, checkers.ClassStalled, "/stalled: connected, but no answer within LIMIT"},
		{"HTTP on the port of HTTPS", "http to https", nil, checkers.ClassStatus, "/: status 400, wanted 200-299"},
		{"HTTPS", "https", m{"path": "/healthz", "ca_file": ca}, checkers.ClassNone, "/healthz: status 200"},
		{"HTTPS by name", "https", m{"path": "/healthz", "ca_file": ca, "host": "shop.example"}, checkers.ClassNone, "/healthz: status 200"},
		{"HTTPS unverified", "https", m{"path": "/healthz", "verify": false}, checkers.ClassNone, "/healthz: status 200"},
		{"HTTPS self-signed", "https", m{"path": "/healthz"}, checkers.ClassTLS, "/healthz: tls: failed to verify certificate: x509: certificate signed by unknown authority (name its authority in ca_file, or set verify: false)"},
		{"HTTPS wrong name", "https", m{"path": "/healthz", "ca_file": ca, "host": "other.example"}, checkers.ClassTLS, "/healthz: tls: failed to verify certificate: x509: certificate is valid for shop.example, not other.example"},
		{"HTTPS 500", "https", m{"path": "/broken", "ca_file": ca}, checkers.ClassStatus, "/broken: status 500, wanted 200-299"},
		{"HTTPS stalled", "https", m{"path": "/stalled", "ca_file": ca}, checkers.ClassStalled, "/stalled: connected, but no answer within LIMIT"},
		{"HTTPS on the port of HTTP", "https to http", nil, checkers.ClassTLS, "/: the server does not speak TLS on this port"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, plain, secure) })
	}
}

// TestNginxStops proves that a stopped server is refused, by every kind of check.
func TestNginxStops(t *testing.T) {
	binary := findNginx(t)
	var plain, secure netip.AddrPort
	t.Run("run", func(t *testing.T) { // nginx ends with it
		plain, secure = startNginx(t, binary, newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1"))
	})
	wantResult(t, checkFor(t, 10*time.Second, mustTCP(t, Dialer{}.Dial), plain),
		checkers.ClassRefused, fmt.Sprintf("connect %s: connection refused", plain))
	wantResult(t, checkFor(t, 10*time.Second, mustHTTP(t, Dialer{}.Dial, "http", nil), plain),
		checkers.ClassRefused, fmt.Sprintf("GET http://%s/: connection refused", plain))
	wantResult(t, checkFor(t, 10*time.Second, mustHTTP(t, Dialer{}.Dial, "https", nil), secure),
		checkers.ClassRefused, fmt.Sprintf("GET https://%s/: connection refused", secure))
}

// findNginx skips the test where there is no nginx, but not on CI.
func findNginx(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PATH") + ":/usr/sbin:/usr/local/sbin" // users' PATH often lacks them
	for _, dir := range filepath.SplitList(path) {
		binary := filepath.Join(dir, "nginx")
		if info, err := os.Stat(binary); err == nil && info.Mode()&0o111 != 0 {
			return binary
		}
	}
	const missing = "nginx is not installed: apt-get install nginx-light"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// startNginx runs nginx until the test ends, and returns when it answers.
func startNginx(t *testing.T, binary string, id identity) (plain, secure netip.AddrPort) {
	t.Helper()
	plain, secure = freePort(t), freePort(t)
	conf := strings.NewReplacer("{{plain}}", plain.String(), "{{tls}}", secure.String(), "{{stalled}}", listen(t).target.String(),
		"{{cert}}", id.certFile, "{{key}}", id.keyFile).Replace(nginxConf)
	runNginx(t, binary, conf, secure)
	return plain, secure
}

// runNginx runs nginx until the test ends, and returns when it listens at an address.
func runNginx(t *testing.T, binary, conf string, at netip.AddrPort) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	nginx := exec.Command(binary, "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log"))
	nginx.Stdout, nginx.Stderr = &output, &output
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- nginx.Wait() }()
	t.Cleanup(func() {
		_ = nginx.Process.Signal(syscall.SIGTERM)
		if err := <-exited; err != nil {
			t.Errorf("nginx: %v\n%s", err, output.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", at.String())
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not listen: %v", err)
		}
	}
}

// freePort is a port on loopback that nobody listens on. It is below those that
// the kernel gives to connections (ip_local_port_range), which would take it
// before its server does.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	const low, high, tries = 10240, 32000, 100
	for range tries {
		target := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(low+rand.IntN(high-low)))
		if l, err := net.Listen("tcp", target.String()); err == nil {
			_ = l.Close()
			return target
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}
