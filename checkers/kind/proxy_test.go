// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

const nginxBehindProxy = `
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; scgi_temp_path tmp; uwsgi_temp_path tmp;
	server {
		listen {{plain}} proxy_protocol;
		listen {{tls}} ssl proxy_protocol;
		ssl_certificate {{cert}};
		ssl_certificate_key {{key}};
		location / { return 200 "sent by [$proxy_protocol_addr] for [$proxy_protocol_server_port]\n"; }
	}
}
`

// TestProxyNginx asks servers that take no connection without the header.
func TestProxyNginx(t *testing.T) {
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	plain, secure := freePort(t), freePort(t)
	conf := strings.NewReplacer("{{plain}}", plain.String(), "{{tls}}", secure.String(), "{{cert}}", id.certFile, "{{key}}", id.keyFile).Replace(nginxBehindProxy)
	runNginx(t, findNginx(t), conf, secure)
	const own, nobodys = "sent by [127.0.0.1] for [", "sent by [] for []"
	for _, test := range []struct {
		name  string
		kind  string
		proxy Proxy
		body  string
		class checkers.Class
	}{
		{"version 1", "http", ProxyV1, own, checkers.ClassNone},
		{"version 2", "http", ProxyV2, nobodys, checkers.ClassNone},
		{"version 1 before TLS", "https", ProxyV1, own, checkers.ClassNone},
		{"version 2 before TLS", "https", ProxyV2, nobodys, checkers.ClassNone},
		{"none", "http", "", "sent", checkers.ClassProtocol},
		{"none before TLS", "https", "", "sent", checkers.ClassTLS},
	} {
		t.Run(test.name, func(t *testing.T) {
			options, target := m{"expect": m{"body": test.body}}, plain
			if test.kind == "https" {
				options["ca_file"], target = id.certFile, secure
			}
			r := checkFor(t, 10*time.Second, From(must(t, test.kind, options), Origin{Proxy: test.proxy}), target)
			if pass := test.class == checkers.ClassNone; (r.Outcome == checkers.OutcomePass) != pass || !pass && r.Outcome != checkers.OutcomeFail {
				t.Errorf("got %+v, want the class %v", r, test.class)
			}
		})
	}
}

// TestProxyHeader has both versions byte by byte, in both families.
func TestProxyHeader(t *testing.T) {
	server := listen(t)
	for proxy, want := range map[Proxy]string{
		ProxyV1: "PROXY TCP4 127.0.0.77 127.0.0.1 FROM TO\r\n",
		ProxyV2: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
		"":      "",
	} {
		t.Run(string(proxy), func(t *testing.T) {
			conn, err := Dialer{Source: server.target.Addr().Next()}.Dial(from(t, Origin{}), server.target)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			here := addrPort(conn.LocalAddr())
			want := strings.NewReplacer("127.0.0.77", here.Addr().String(), "FROM", portText(here.Port()), "TO", portText(server.target.Port())).Replace(want)
			if got := string(proxy.header(conn)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func portText(port uint16) string { return strconv.Itoa(int(port)) }
