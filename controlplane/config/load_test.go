// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
)

// What a director has unless the file says otherwise.
var (
	usualConnections = Connections{Memory: 64 << 20, TCP: 15 * time.Minute, FIN: 2 * time.Minute, UDP: 5 * time.Minute}
	usualFullNAT     = FullNAT{PortFirst: 1024, PortLast: 32767}
)

func TestMinimal(t *testing.T) {
	cfg := mustParse(t, minimal)
	want := &Config{
		Director: Director{
			Name: "lb1", Interfaces: []string{"eth0"}, Attach: AttachAuto, Forwarding: ForwardingAuto,
			Addresses: AddressesManage, OnStop: OnStopKeep, Resync: 30 * time.Second, PinPath: "/sys/fs/bpf/maitred", StateDir: "/var/lib/maitred", Resolver: Resolver{MinTTL: 5 * time.Second, MaxTTL: 5 * time.Minute},
			Absence: AbsenceKeep, AbsentAfter: 30 * time.Second,
			Connections: usualConnections, FullNAT: usualFullNAT,
		},
		Pools: []Pool{{Name: "app", Servers: []Server{{Name: "a", Address: netip.MustParseAddr("10.0.0.1"), Weight: 100}}, Degraded: 0.5}},
		Pages: []Page{{Name: "default", Protocol: "http"}, {Name: "busy", Protocol: "http"}},
		Services: []Service{{
			Name: "shop", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Ports: []uint16{80},
			Protocol: TCP, Hash: HashAddress, Method: NAT, OnDown: OnDownReset, Pool: "app", Quorum: Quorum{Min: 1, Below: BelowSorry},
			Sorry: Sorry{Page: "default", Linger: 10 * time.Second, Orphans: OrphansAuto},
			Shed:  Shed{Page: "busy"},
		}},
		Admin: Admin{Socket: "/run/maitred/maitred.sock"},
	}
	options := cmp.Options{
		cmpopts.IgnoreFields(Page{}, "Image"), cmpopts.IgnoreUnexported(Config{}, Page{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}),
	}
	if diff := cmp.Diff(want, cfg, options); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	page, _ := cfg.Page(DefaultPage)
	if got := string(page.Image.Response); !strings.HasPrefix(got, "HTTP/1.1 502 Service temporarily down\r\n") ||
		!strings.Contains(got, "<h1>Service temporarily down</h1>") {
		t.Errorf("built-in page:\n%s", got)
	}
}

func TestWhole(t *testing.T) {
	cfg := mustParse(t, `
director: {name: Lb-A, interfaces: [eth0, eth1], attach: tc, forwarding: none, addresses: external,
  on_stop: withdraw, resync_interval: 1m30s, pin_path: /sys/fs/bpf/Other}
health: {defaults: {interval: 4s, timeout: 1500ms, fall: 5}}
checks:
  - {name: web, http: {port: 8080, path: /Health/Z, host: Shop.Example, headers: [{name: X-A, value: Ok}]}, interval: 2s, rise: 1}
  - {name: up, tcp: , fall: 7}
pools:
  - name: app
    servers:
      - {address: 10.0.0.1, port: 8443, weight: 65535}
      - {address: "2001:db8::1", port: 8443, weight: 1}
    checks: [web, up]
services:
  - name: shop
    addresses: [192.0.2.1, "2001:db8::1:0:1"]
    ports: [443, 8443]
    scheduler: mh
    pool: app
    quorum: {min: 50%, hysteresis: 10%}
    sorry: {page: none, linger: 0s, orphans: drop}
  - {name: dns, addresses: [192.0.2.1], ports: [443], protocol: udp, scheduler: rr, pool: app, sorry: none}
admin: {socket: /run/Other.sock}
`)
	wantDirector := Director{
		Name: "Lb-A", Interfaces: []string{"eth0", "eth1"}, Attach: AttachTC, Forwarding: ForwardingNone,
		Addresses: AddressesExternal, OnStop: OnStopWithdraw, Resync: 90 * time.Second, PinPath: "/sys/fs/bpf/Other", StateDir: "/var/lib/maitred", Resolver: Resolver{MinTTL: 5 * time.Second, MaxTTL: 5 * time.Minute},
		Absence: AbsenceKeep, AbsentAfter: 30 * time.Second,
		Connections: usualConnections, FullNAT: usualFullNAT,
	}
	if diff := cmp.Diff(wantDirector, cfg.Director); diff != "" {
		t.Errorf("director (-want +got):\n%s", diff)
	}
	web, _ := cfg.Check("web")
	up, _ := cfg.Check("up")
	wantWeb := checkers.Timing{Interval: 2 * time.Second, FastInterval: time.Second, Timeout: 1500 * time.Millisecond, Rise: 1, Fall: 5, UnknownGrace: 30 * time.Second}
	if web.Timing != wantWeb || web.Port != 8080 || web.Type != "http" {
		t.Errorf("check web: %+v", web)
	}
	if up.Timing.Fall != 7 || up.Timing.Rise != 2 || up.Port != 0 || up.Type != "tcp" {
		t.Errorf("check up: %+v", up)
	}
	if got := cfg.Pools[0].Servers[1]; got.Name != "2001:db8::1" || got.Port != 8443 || got.Weight != 1 {
		t.Errorf("server: %+v", got)
	}
	shop, six, dns := cfg.Services[0], cfg.Services[1], cfg.Services[2]
	if want := (Quorum{Min: 50, Hysteresis: 10, Percent: true, Below: BelowSorry}); shop.Quorum != want {
		t.Errorf("quorum %+v, want %+v", shop.Quorum, want)
	}
	if want := (Sorry{Orphans: OrphansDrop}); shop.Sorry != want {
		t.Errorf("sorry %+v, want %+v", shop.Sorry, want)
	}
	if dns.Protocol != UDP || dns.Sorry.Page != "" {
		t.Errorf("service dns: %+v", dns)
	}
	if got := len(shop.Virtuals()); got != 2 || shop.Name != "shop/ipv4" {
		t.Errorf("%s: %d virtual services, want 2", shop.Name, got)
	}
	if got := len(six.Virtuals()); got != 2 || six.Name != "shop/ipv6" || six.Quorum != shop.Quorum {
		t.Errorf("%+v: %d virtual services, want 2", six, got)
	}
}

// viper folds the case of keys; nothing may do so to values.
func TestValuesKeepTheirForm(t *testing.T) {
	cfg := mustParse(t, minimal+`
pages:
  - {name: No, reason: Closed For Today, content_type: Text/HTML, body: "<B>$${x</B>", headers: [{name: X-CaSe, value: VaLue}]}
  - {name: 010, body: yes}
`)
	want := "HTTP/1.1 502 Closed For Today\r\nContent-Type: Text/HTML\r\nContent-Length: 10\r\n" +
		"Connection: close\r\nCache-Control: no-store\r\nX-CaSe: VaLue\r\n\r\n<B>${x</B>"
	if page, _ := cfg.Page("No"); string(page.Image.Response) != want {
		t.Errorf("page:\n%s\nwant:\n%s", page.Image.Response, want)
	}
	if page, ok := cfg.Page("010"); !ok || !strings.HasSuffix(string(page.Image.Response), "\r\n\r\nyes") {
		t.Errorf("page 010: %v\n%s", ok, page.Image.Response)
	}
}

func TestOptionsReachTheCheck(t *testing.T) {
	got := map[string]any{}
	l := fake(map[string]string{
		"etc/maitred.yaml": minimal + `checks:
  - name: x
    odd: 
      {port: 7, path: /A, n: 5, f: 1.5, yes: true, text: "5", when: 2020-01-01, nothing: , env: "${HOST}",
       number: "${N}", list: [A, {b: C}], ca_file: Ca.pem}
  - name: "y"
    odd: 
      plain: ${N}
`,
		"etc/Ca.pem": "certificate",
	}, map[string]string{"HOST": "Shop", "N": "12"})
	l.types = []string{"odd"}
	l.lookup = func(name string) (kind.Kind, bool) {
		return kind.Kind{Name: name, New: func(o map[string]any) (checkers.Checker, error) { maps.Copy(got, o); return nil, nil }}, true
	}
	if _, err := l.load([]string{"etc/maitred.yaml"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"path": "/A", "n": 5, "f": 1.5, "yes": true, "text": "5", "when": "2020-01-01", "nothing": nil,
		"env": "Shop", "number": "12", "plain": 12, "list": []any{"A", map[string]any{"b": "C"}}, "ca_file": "etc/Ca.pem",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestFingerof(t *testing.T) {
	of := func(check string) string {
		t.Helper()
		return mustParse(t, minimal+"checks: ["+check+"]").Checks[0].Fingerprint
	}
	base := of("{name: a, http: {path: /x, host: h}}")
	for name, same := range map[string]string{
		"name":         "{name: b, http: {path: /x, host: h}}",
		"order":        "{http: {host: h, path: /x}, name: a}",
		"same default": "{name: a, http: {path: /x, host: h}, interval: 5s}",
	} {
		if of(same) != base {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
	for name, other := range map[string]string{
		"type":   "{name: a, https: {path: /x, host: h}}",
		"port":   "{name: a, http: {path: /x, host: h, port: 81}}",
		"option": "{name: a, http: {path: /y, host: h}}",
		"timing": "{name: a, http: {path: /x, host: h}, fall: 9}",
	} {
		if of(other) == base {
			t.Errorf("another %s leaves the fingerprint as it is", name)
		}
	}
}

func TestFingerprintSeesFiles(t *testing.T) {
	of := func(content string) string {
		l := fake(map[string]string{"m.yaml": minimal + "checks: [{name: x, odd: {ca_file: ca}}]", "ca": content}, nil)
		l.types = []string{"odd"}
		l.lookup = func(name string) (kind.Kind, bool) {
			return kind.Kind{Name: name, New: func(map[string]any) (checkers.Checker, error) { return nil, nil }}, true
		}
		cfg, err := l.load([]string{"m.yaml"})
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Checks[0].Fingerprint
	}
	if of("old") == of("new") {
		t.Error("a new certificate leaves the fingerprint as it is")
	}
}

func TestDefaultPageIsReplaced(t *testing.T) {
	cfg := mustParse(t, minimal+"pages: [{name: default, status: 503, body: Ours}]")
	page, _ := cfg.Page(DefaultPage)
	if len(cfg.Pages) != 2 || !strings.HasPrefix(string(page.Image.Response), "HTTP/1.1 503 Service Unavailable\r\n") {
		t.Errorf("%d pages, the default one:\n%s", len(cfg.Pages), page.Image.Response)
	}
}

func TestAlias(t *testing.T) {
	cfg := mustParse(t, minimal+"checks: [{name: a, http: &h {path: /x}}, {name: b, http: *h}]")
	if cfg.Checks[0].Fingerprint != cfg.Checks[1].Fingerprint {
		t.Error("an alias does not stand for the same options")
	}
}

func TestSeveralFiles(t *testing.T) {
	files := map[string]string{
		"etc/maitred.yaml":   "include: [\"conf.d/*.yaml\", 'conf.d/${WHICH}']\n" + director,
		"etc/conf.d/a.yaml":  pool + "health: {defaults: {fall: 4}}\n",
		"etc/conf.d/b.yaml":  service + "pages: [{name: x, body_file: x.html}]\nhealth: {defaults: {rise: 4}}\n",
		"etc/conf.d/.b.yaml": "services: broken",
		"etc/conf.d/x.html":  "beside the file that names it",
		"etc/conf.d/extra":   "services: [{name: two, addresses: [192.0.2.2], ports: [80], pool: app}]\nchecks: [{name: c, tcp: {}}]\n",
	}
	cfg, err := fake(files, map[string]string{"WHICH": "extra"}).load([]string{"etc/maitred.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, cfg)
	if len(cfg.Services) != 2 || cfg.Services[1].Name != "two" {
		t.Errorf("services: %+v", cfg.Services)
	}
	if timing := cfg.Checks[0].Timing; timing.Fall != 4 || timing.Rise != 4 {
		t.Errorf("timing %+v, want what two files say", timing)
	}
	if page, _ := cfg.Page("x"); !strings.HasSuffix(string(page.Image.Response), files["etc/conf.d/x.html"]) {
		t.Errorf("page x:\n%s", page.Image.Response)
	}
}

func TestLoadFromDisk(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "maitred.yaml")
	write(t, main, "include: [conf.d/*.yaml]\n"+director)
	write(t, filepath.Join(dir, "conf.d", "a.yaml"), pool+service)
	cfg, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, cfg)
	if name, err := os.Hostname(); err != nil || cfg.Director.Name != name {
		t.Errorf("director.name is %q, the host's %q (%v)", cfg.Director.Name, name, err)
	}
	if _, err := Load(dir); err == nil || err.Error() != dir+": cannot be read: not a regular file" {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Load(); err == nil {
		t.Error("no file at all is no error")
	}
}

// Sections and lists whose items are all commented out are as good as absent.
func TestEmptySections(t *testing.T) {
	mustParse(t, minimal+"admin:\nhealth:\n  defaults:\nchecks:\npages:\n")
}

func TestFind(t *testing.T) {
	cfg := mustParse(t, minimal+"checks: [{name: c, tcp: {port: 1}}]")
	_, a := cfg.Check("c")
	_, b := cfg.Pool("app")
	_, c := cfg.Page("default")
	_, d := cfg.Service("shop")
	if !a || !b || !c || !d {
		t.Error("a check, pool, page or service is not found")
	}
	_, a = cfg.Check("x")
	_, b = cfg.Pool("x")
	_, c = cfg.Page("x")
	_, d = cfg.Service("x")
	if a || b || c || d {
		t.Error("a check, pool, page or service is found that is not there")
	}
}

// A pattern may match the file that has it, however that was named.
func TestIncludeSkipsItself(t *testing.T) {
	text := "include: ['*.yaml']\n" + minimal
	l := fake(map[string]string{"maitred.yaml": text, "./maitred.yaml": text}, nil)
	if _, err := l.load([]string{"./maitred.yaml"}); err != nil {
		t.Error(err)
	}
}

// A type that fails in its own way is named, too.
func TestTypeFails(t *testing.T) {
	l := fake(map[string]string{"m.yaml": minimal + "checks: [{name: x, odd: {}}]"}, nil)
	l.types = []string{"odd"}
	l.lookup = func(name string) (kind.Kind, bool) {
		return kind.Kind{Name: name, New: func(map[string]any) (checkers.Checker, error) {
			return nil, errors.New("has no library")
		}}, true
	}
	_, err := l.load([]string{"m.yaml"})
	checkErrors(t, err, []string{"m.yaml:4: checks[0].odd: has no library"})
}
