// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checked writes a configuration whose servers are one that answers, one that is
// sick and one that is not there.
func checked(t *testing.T) (file string, well, gone netip.AddrPort) {
	t.Helper()
	answer := func(status int) netip.AddrPort {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return s.Listener.Addr().(*net.TCPAddr).AddrPort()
	}
	well, sick := answer(200), answer(503)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone = l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	text := fmt.Sprintf(`director: {interfaces: [eth0], forwarding: ebpf}
checks:
  - {name: web, http: {path: /healthz}}
  - {name: lost, http: {}, netns: no-such-one}
  - {name: connect, tcp: {}}
  - {name: through, http: {}, via: dataplane}
pools:
  - {name: app, checks: [web], servers: [{name: a, address: 127.0.0.1, port: %d}, {name: b, address: 127.0.0.1, port: %d}, {name: c, address: 127.0.0.1, port: %d}]}
  - {name: dns, checks: [web], servers: [{address: app.example, port: %d}, {srv: _http._tcp.app.example, name: srv}]}
  - {name: other, checks: [through], servers: [{name: d, address: 127.0.0.2}]}
services:
  - {name: shop, addresses: [192.0.2.10], ports: [80], pool: app, method: nat}
  - {name: hall, addresses: [192.0.2.11], ports: [80], pool: other}
`, well.Port(), sick.Port(), gone.Port(), well.Port())
	file = filepath.Join(t.TempDir(), "maitred.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, well, gone
}

func TestCheckRun(t *testing.T) {
	file, well, gone := checked(t)
	for _, test := range []struct {
		name, check, server string
		code                int
		stdout, stderr      string // parts of them
	}{
		{"pass", "web", "app/a", exitDone, fmt.Sprintf("pass: GET http://%s/healthz: status 200\n", well), ""},
		{"its connection", "web", "app/a", exitDone, fmt.Sprintf(" ms  tcp %s from 127.0.0.1:", well), ""},
		{"status", "web", "app/b", exitFailed, "fail (status): GET http://127.0.0.1", ""},
		{"refused", "web", "app/c", exitFailed, fmt.Sprintf("fail (refused): GET http://%s/healthz: connection refused\n", gone), ""},
		{"an address", "connect", well.String(), exitDone, "pass: connect", ""},
		{"not to be run", "lost", "app/a", exitNotSeen, "unknown (local): ", ""},
		{"no port", "connect", "127.0.0.9", exitUsage, "", "check connect has no port of its own: name one, as in 127.0.0.9:80"},
		{"no check", "wep", "app/a", exitUsage, "", `there is no check "wep" (did you mean web?)`},
		{"no server", "web", "app/z", exitUsage, "", `there is no server "app/z"`},
		{"no address", "web", "a", exitUsage, "", "--server a: this is neither POOL/NAME nor an address"},
		{"where a name leads", "web", "dns/app.example@127.0.0.1", exitDone, fmt.Sprintf("pass: GET http://%s/healthz: status 200\n", well), ""},
		{"where records of service lead", "web", "dns/srv@" + well.String(), exitDone, fmt.Sprintf("pass: GET http://%s/healthz: status 200\n", well), ""},
		{"a name", "web", "dns/app.example", exitUsage, "", "the DNS tells where app.example is, which is not asked here: name an address, as in dns/app.example@ADDRESS"},
		{"a name at nothing", "web", "dns/app.example@x", exitUsage, "", `there is no server "dns/app.example@x"`},
		{"no way", "through", "10.0.0.9", exitUsage, "", "check through goes via the data path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := run(t, env{}, "check", "run", test.check, "--server", test.server, "--config", file)
			if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) || (test.stderr == "") != (got.stderr == "") {
				t.Errorf("got %+v, want %+v", got, test)
			}
		})
	}
}

func TestCheckRunJSON(t *testing.T) {
	file, well, _ := checked(t)
	got := run(t, env{}, "check", "run", "web", "--server", "app/a", "--config", file, "-o", "json")
	var r checkReport
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if len(r.Steps) == 0 || r.Millis <= 0 || r.Steps[0].Millis <= 0 {
		t.Errorf("no steps and times: %+v", r)
	}
	r.Steps, r.Millis = nil, 0
	if want := (checkReport{Check: "web", Kind: "http", Target: well.String(), Via: "direct", Outcome: "pass", Message: "GET http://" + well.String() + "/healthz: status 200"}); fmt.Sprint(r) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestCheckRunUsage(t *testing.T) {
	file, _, _ := checked(t)
	for _, args := range [][]string{{"web"}, {"--server", "app/a"}, {"web", "--server", "app/a", "-o", "xml"}} {
		if got := run(t, env{}, append([]string{"check", "run", "--config", file}, args...)...); got.code != exitUsage || got.stdout != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

// A script takes a server out where the code is 1: no mistake of its own makes it that.
func TestCheckRunWithoutConfiguration(t *testing.T) {
	for file, want := range map[string]string{"testdata/bad.yaml": "testdata/bad.yaml:", "/nowhere/maitred.yaml": "/nowhere/maitred.yaml: cannot be read"} {
		got := run(t, env{}, "check", "run", "web", "--server", "app/a", "--config", file)
		if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %+v", file, got)
		}
	}
}

func TestCheckRunCompletes(t *testing.T) {
	file, _, _ := checked(t)
	for args, want := range map[string]string{
		"":               "connect\nlost\nthrough\nweb\n",
		"web --server":   "app/a\napp/b\napp/c\n",
		"other --server": "",
		"web --output":   "json\ntext\n",
	} {
		words := append([]string{"__complete", "check", "run", "--config", file}, strings.Fields(args)...)
		got := run(t, env{}, append(words, "")...)
		if have, _, _ := strings.Cut(got.stdout, ":"); !sameLines(have, want) {
			t.Errorf("%q: %q, want %q", args, have, want)
		}
	}
}

func sameLines(a, b string) bool {
	for _, line := range strings.Fields(a + b) {
		if !strings.Contains(a, line+"\n") || !strings.Contains(b, line+"\n") {
			return false
		}
	}
	return true
}
