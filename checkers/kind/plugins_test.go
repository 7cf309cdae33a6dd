// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// pluginDir is where Debian puts its plugins.
const pluginDir = "/usr/lib/nagios/plugins"

// plugin makes a check of a plugin, as an operator writes it.
func plugin(t *testing.T, name string, more m, args ...string) checkers.Checker {
	t.Helper()
	command := []any{findProgram(t, "monitoring-plugins-standard", name, pluginDir)}
	for _, arg := range args {
		command = append(command, arg)
	}
	options := m{"command": command}
	for key, value := range more {
		options[key] = value
	}
	checker, err := lookup(t, "nagios").New(options)
	if err != nil {
		t.Fatal(err)
	}
	return checker
}

// expectResult compares an outcome, and a message with a pattern.
func expectResult(t *testing.T, got checkers.Result, outcome checkers.Outcome, class checkers.Class, pattern string) {
	t.Helper()
	t.Log(got.Message)
	if got.Outcome != outcome || got.Class != class || !regexp.MustCompile(pattern).MatchString(got.Message) {
		t.Errorf("got %+v, want %v, %v, %q", got, outcome, class, pattern)
	}
}

func runOn(t *testing.T, c checkers.Checker, target netip.AddrPort) checkers.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return c.Check(ctx, target)
}

func listenerAddr(t *testing.T, l net.Listener) netip.AddrPort {
	t.Helper()
	target, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// closedPort is one where nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return listenerAddr(t, l)
}

// TestPluginDummy: every state that there is.
func TestPluginDummy(t *testing.T) {
	target := netip.MustParseAddrPort("192.0.2.1:80")
	for _, test := range []struct {
		code    string
		outcome checkers.Outcome
		class   checkers.Class
		want    string
	}{
		{"0", checkers.OutcomePass, checkers.ClassNone, `^check_dummy 192\.0\.2\.1:80: OK: so it is$`},
		{"1", checkers.OutcomeDegraded, checkers.ClassNone, `WARNING: so it is`},
		{"2", checkers.OutcomeFail, checkers.ClassModule, `CRITICAL: so it is`},
		{"3", checkers.OutcomeUnknown, checkers.ClassLocal, `UNKNOWN: so it is`},
		{"9", checkers.OutcomeUnknown, checkers.ClassLocal, `Status 9 is not a supported error state`},
	} {
		t.Run(test.code, func(t *testing.T) {
			got := runOn(t, plugin(t, "check_dummy", nil, test.code, "so it is"), target)
			expectResult(t, got, test.outcome, test.class, test.want)
		})
	}
}

// TestPluginTCP: against a server that listens, and one that does not.
func TestPluginTCP(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	c := plugin(t, "check_tcp", nil, "-H", "{address}", "-p", "{port}", "-t", "{timeout}")
	expectResult(t, runOn(t, c, listenerAddr(t, s.Listener)), checkers.OutcomePass, checkers.ClassNone,
		`TCP OK - .* second response time on 127\.0\.0\.1 port \d+ \(time [\d.e-]+s\)$`)
	expectResult(t, runOn(t, c, closedPort(t)), checkers.OutcomeFail, checkers.ClassModule, `Connection refused`)
}

// TestPluginHTTP: against a server that is well, and one that answers 503.
func TestPluginHTTP(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusOK)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer s.Close()
	c := plugin(t, "check_http", nil, "-I", "{address}", "-p", "{port}", "-t", "{timeout}")
	expectResult(t, runOn(t, c, listenerAddr(t, s.Listener)), checkers.OutcomePass, checkers.ClassNone,
		`HTTP OK: HTTP/1.[01] 200 OK - .* \(time [\d.e-]+s, size \d+B\)$`)
	status.Store(http.StatusServiceUnavailable)
	expectResult(t, runOn(t, c, listenerAddr(t, s.Listener)), checkers.OutcomeFail, checkers.ClassModule, `503 Service Unavailable`)
}

// TestPluginPing: ping gains its right to raw sockets by its file.
func TestPluginPing(t *testing.T) {
	findProgram(t, "iputils-ping", "ping")
	c := plugin(t, "check_ping", m{"privileges": true, "percent": "pl"}, "-H", "{address}", "-w", "1000,50%", "-c", "2000,90%", "-p", "1", "-t", "{timeout}")
	got := runOn(t, c, netip.MustParseAddrPort("127.0.0.1:0"))
	expectResult(t, got, checkers.OutcomePass, checkers.ClassNone, `PING OK - Packet loss = 0%, RTA = [\d.]+ ms \(rta [\d.]+ms, pl 0%\)$`)
	if got.Hint != checkers.HintDrain { // a share of 0 %
		t.Errorf("got %+v", got)
	}
}

// TestPluginDNS: against unbound. The plugin knows port 53 only.
func TestPluginDNS(t *testing.T) {
	unbound := findProgram(t, "unbound", "unbound")
	findProgram(t, "bind9-dnsutils", "nslookup")
	const addr = "127.77.53.1"
	probe, err := net.ListenPacket("udp", addr+":53")
	if err != nil {
		t.Skipf("check_dns asks port 53 alone, where this process may not listen: %v", err)
	}
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "unbound.conf")
	text := fmt.Sprintf(`server:
  interface: %s
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: %q
  pidfile: ""
  use-syslog: no
  local-zone: "shop.example." static
  local-data: "www.shop.example. A 192.0.2.7"
remote-control:
  control-enable: no
`, addr, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(unbound, "-d", "-c", conf)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // was killed
	})
	target := netip.MustParseAddrPort(addr + ":53")
	good := plugin(t, "check_dns", nil, "-H", "www.shop.example", "-s", "{address}", "-a", "192.0.2.7", "-t", "{timeout}")
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && runOn(t, good, target).Outcome != checkers.OutcomePass; {
		time.Sleep(50 * time.Millisecond)
	}
	expectResult(t, runOn(t, good, target), checkers.OutcomePass, checkers.ClassNone, `DNS OK: .* returns 192\.0\.2\.7 \(time [\d.e-]+s\)$`)
	lies := plugin(t, "check_dns", nil, "-H", "www.shop.example", "-s", "{address}", "-a", "192.0.2.8", "-t", "{timeout}")
	expectResult(t, runOn(t, lies, target), checkers.OutcomeFail, checkers.ClassModule, `expected '192\.0\.2\.8' but got '192\.0\.2\.7'`)
	missing := plugin(t, "check_dns", nil, "-H", "no.shop.example", "-s", "{address}", "-t", "{timeout}")
	expectResult(t, runOn(t, missing, target), checkers.OutcomeFail, checkers.ClassModule, `not found`)
}

// TestPerformance: figures as plugins print them, and as they should not.
func TestPerformance(t *testing.T) {
	for _, test := range []struct {
		name, out, text string
		figures         string
	}{
		{"none", "OK: fine\n", "OK: fine", ""},
		{"one", "OK|time=0.5s;;;0;10", "OK", "time 0.5s"},
		{"several", "OK | a=1 b=2%;80;90 c=-3.5MB", "OK", "a 1, b 2%, c -3.5MB"},
		{"quoted", "OK | 'load of it''s 5'=4;; /=2643MB;5948;5958;0;5968", "OK", "load of it's 5 4, / 2643MB"},
		{"long output", "OK | a=1\nmore\nand more | b=2\nc=3", "OK", "a 1, b 2, c 3"},
		{"not known", "OK | a=U b=2", "OK", "b 2"},
		{"broken", "OK | = 'x y=3 b", "OK", ""},
		{"comma", "OK | a=1,5s", "OK", "a 1.5s"},
		{"not finite", "OK | a=inf b=nan c=1e400", "OK", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, figures := performance(test.out)
			if text != test.text || short(figures) != test.figures {
				t.Errorf("got %q, %q", text, short(figures))
			}
		})
	}
}

// FuzzPerformance: whatever a plugin prints, reading it ends.
func FuzzPerformance(f *testing.F) {
	f.Add("OK | 'a''b'=1;2;3 c=4%\nmore | d=5")
	f.Fuzz(func(t *testing.T, out string) {
		if text, _ := performance(out); strings.ContainsRune(text, '\n') {
			t.Errorf("%q has more than a line", text)
		}
	})
}
