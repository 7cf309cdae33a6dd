// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// withPage is a configuration whose page x, which the service shop shows, has
// these keys on line 4.
func withPage(keys string) string {
	return minimalWith("sorry: {page: x}") + "pages: [{name: x, " + keys + "}]\n"
}

func pageOf(t *testing.T, text string) Page {
	t.Helper()
	cfg := mustParse(t, text)
	p, ok := cfg.Page("x")
	if !ok {
		t.Fatal("there is no page x")
	}
	return p
}

func TestPagesOfProtocols(t *testing.T) {
	for keys, want := range map[string]string{
		"protocol: smtp":                          "421 4.3.2 Service temporarily down\r\n",
		"protocol: imap, text: Back at noon":      "* BYE [UNAVAILABLE] Back at noon\r\n",
		"protocol: tls":                           "\x15\x03\x03\x00\x02\x02\x50",
		`protocol: raw, bytes: "ERR\tdown\r\n\0"`: "ERR\tdown\r\n\x00",
		"protocol: raw, bytes_file: b":            "\xff\x00\xfe",
	} {
		t.Run(keys, func(t *testing.T) {
			l := fake(map[string]string{"m.yaml": withPage(keys), "b": "\xff\x00\xfe"}, nil)
			cfg, err := l.load([]string{"m.yaml"})
			if err != nil {
				t.Fatal(err)
			}
			checkInvariants(t, cfg)
			if p, _ := cfg.Page("x"); string(p.Image.Response) != want {
				t.Errorf("%q, want %q", p.Image.Response, want)
			}
		})
	}
	p := pageOf(t, withPage("protocol: h2c, status: 503, body: Sorry, content_type: text/plain"))
	if p.Image.Speech != page.SpeechHTTP2 || !bytes.Contains(p.Image.Response, []byte("Sorry")) {
		t.Errorf("h2c: %s: %q", p.Image.Speech, p.Image.Response)
	}
}

func TestPagesOverUDP(t *testing.T) {
	udp := func(protocol string) string {
		return minimalWith("protocol: udp, sorry: {page: x}") + "pages: [{name: x, protocol: " + protocol + "}]\n"
	}
	for _, protocol := range []string{"dns", "unreachable"} {
		if cfg := mustParse(t, udp(protocol)); cfg.Services[0].Sorry.Page != "x" {
			t.Errorf("%s: %+v", protocol, cfg.Services[0].Sorry)
		}
	}
	if cfg := mustParse(t, minimalWith("protocol: udp")); cfg.Services[0].Sorry.Page != "" {
		t.Errorf("a udp service that names no page has %+v", cfg.Services[0].Sorry)
	}
}

// heads are the first lines of a page and its variants.
func heads(m page.Image) []string {
	first := func(m page.Image) string { line, _, _ := strings.Cut(string(m.Response), "\r\n"); return line }
	all := []string{first(m)}
	for _, v := range m.Variants {
		if v.Opening == page.OpeningHTTP {
			all = append(all, strings.TrimSpace(v.Host+" "+string(v.Coding))+": "+first(v.Image))
		}
	}
	return all
}

func TestVariantsInherit(t *testing.T) {
	p := pageOf(t, minimalWith("sorry: {page: x}")+`pages:
- name: x
  status: 503
  reason: Closed
  body: of the page
  retry_after: 1m
  headers: [{name: A, value: b}]
  variants:
  - {hosts: [one.example], status: 429}
  - {hosts: [two.example], reason: Full, body: of two}
  - {hosts: [three.example], headers: [], retry_after: 0s, content_type: text/plain}
`)
	want := []string{
		"HTTP/1.1 503 Closed", "one.example: HTTP/1.1 429 Too Many Requests", "two.example: HTTP/1.1 503 Full",
		"three.example: HTTP/1.1 503 Closed",
	}
	if diff := cmp.Diff(want, heads(p.Image)); diff != "" {
		t.Errorf("first lines (-want +got):\n%s", diff)
	}
	one, two, three := string(p.Image.Variants[0].Image.Response), string(p.Image.Variants[1].Image.Response), string(p.Image.Variants[2].Image.Response)
	if !strings.HasSuffix(one, "\r\nRetry-After: 60\r\nA: b\r\n\r\nof the page") || !strings.HasSuffix(two, "\r\nRetry-After: 60\r\nA: b\r\n\r\nof two") {
		t.Errorf("one:\n%s\ntwo:\n%s", one, two)
	}
	if !strings.HasSuffix(three, "Cache-Control: no-store\r\n\r\nof the page") || !strings.Contains(three, "Content-Type: text/plain\r\n") {
		t.Errorf("three:\n%s", three)
	}
	// A page that has no body of its own gives its variants none: each has its reason.
	p = pageOf(t, withPage("variants: [{hosts: [a], status: 429}]"))
	if got := string(p.Image.Variants[0].Image.Response); !strings.Contains(got, "<h1>Too Many Requests</h1>") {
		t.Errorf("a variant without a body:\n%s", got)
	}
}

func TestCompress(t *testing.T) {
	body := strings.Repeat("sorry ", 1000)
	if got := len(pageOf(t, withPage("body: "+body)).Image.Variants); got != 3 {
		t.Errorf("%d variants by default, want br, gzip and TLS", got)
	}
	if got := len(pageOf(t, withPage("compress: off, body: "+body)).Image.Variants); got != 1 {
		t.Errorf("%d variants with compress: off, want TLS alone", got)
	}
	if got := pageOf(t, withPage("burst: 7, body: "+body)).Image.Burst; got != 7 {
		t.Errorf("bursts of %d", got)
	}
}

func TestTemplates(t *testing.T) {
	const text = "pages:\n- name: x\n  template: true\n  contact: 'Ops & Co <ops@shop.example>'\n"
	with := func(keys string) page.Image {
		t.Helper()
		return pageOf(t, minimalWith("sorry: {page: x}")+text+keys).For(Service{Name: "shop/ipv6"})
	}
	m := with("  body: '<p>{{service}} is down since {{ time }}: {{contact}}'\n  headers: [{name: X-Of, value: '{{contact}}'}]\n")
	want := "X-Of: Ops & Co <ops@shop.example>\r\n\r\n<p>shop is down since Fri, 02 Jan 2026 03:04:05 UTC: Ops &amp; Co &lt;ops@shop.example&gt;"
	if !strings.HasSuffix(string(m.Response), want) {
		t.Errorf("page:\n%s\nwant at the end:\n%s", m.Response, want)
	}
	m = with("  content_type: text/plain\n  body: '{{contact}}'\n")
	if !strings.HasSuffix(string(m.Response), "\r\n\r\nOps & Co <ops@shop.example>") {
		t.Errorf("plain text:\n%s", m.Response)
	}
	m = with("  protocol: smtp\n  text: '{{service}} is down'\n")
	if string(m.Response) != "421 4.3.2 shop is down\r\n" {
		t.Errorf("smtp: %q", m.Response)
	}
	m = with("  reason: '{{service}} down'\n  variants: [{hosts: [a], body: 'at {{service}}'}]\n")
	if got := string(m.Variants[0].Image.Response); !strings.HasPrefix(got, "HTTP/1.1 502 shop down\r\n") || !strings.HasSuffix(got, "\r\nat shop") {
		t.Errorf("a variant:\n%s", got)
	}
	if p := pageOf(t, withPage("body: '{{nothing}}'")); !bytes.HasSuffix(p.Image.Response, []byte("{{nothing}}")) {
		t.Errorf("no template:\n%s", p.Image.Response)
	}
}

// The director's contact is that of pages which have none.
func TestContact(t *testing.T) {
	text := strings.Replace(withPage("template: true, content_type: text/plain, body: '{{contact}}'"),
		director, "director: {interfaces: [eth0], contact: noc@example.com}\n", 1)
	if p := pageOf(t, text); !strings.HasSuffix(string(p.Image.Response), "\r\n\r\nnoc@example.com") || p.PerService() {
		t.Errorf("page:\n%s", p.Image.Response)
	}
}

func TestPagePerService(t *testing.T) {
	cfg := mustParse(t, director+pool+`services:
- {name: a, addresses: [192.0.2.1], ports: [80], pool: app, sorry: {page: x}}
- {name: longest, addresses: [192.0.2.2], ports: [80], pool: app, sorry: {page: x}}
pages: [{name: x, template: true, body: "{{service}}"}]
`)
	p, _ := cfg.Page("x")
	if !p.PerService() || cfg.slots() != 3 {
		t.Errorf("an image for each service: %v, %d places, want 3", p.PerService(), cfg.slots())
	}
	a, longest := p.For(cfg.Services[0]), p.For(cfg.Services[1])
	if a.Digest == longest.Digest || longest.Digest != p.Image.Digest || !bytes.HasSuffix(a.Response, []byte("\r\n\r\na")) {
		t.Errorf("a: %q, longest: %q, any: %q", a.Response, longest.Response, p.Image.Response)
	}
	if again := p.For(cfg.Services[0]); &again.Response[0] != &a.Response[0] {
		t.Error("the image is made again")
	}
}

// A name may make a coding pay that did not with a longer one: then there are more
// variants than there is room for, and the page goes without codings.
func TestPagePerServiceAtTheLimit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	short, long := "{name: a, addresses: [192.0.2.1], ports: [80], pool: app, sorry: {page: x}}", "{name: "+text(60)+", addresses: [192.0.2.2], ports: [80], pool: app}"
	needed := 0
	for n := 1400; n < 1700; n += 15 {
		page := "pages: [{name: x, template: true, body: '{{service}} " + text(n) + "', variants: [{hosts: [a, b, c, d, e, f, g, h, i, j]}]}]\n"
		cfg, err := parse(director + pool + "services: [" + short + ", " + long + "]\n" + page)
		_, alone := parse(director + pool + "services: [" + short + "]\n" + page)
		if err != nil || alone == nil {
			continue
		}
		needed++
		p, _ := cfg.Page("x")
		if m := p.For(cfg.Services[0]); len(m.Variants) != 11 || !bytes.Contains(m.Response, []byte("\r\n\r\na ")) {
			t.Errorf("%d variants: %q", len(m.Variants), m.Response[:200])
		}
	}
	if needed == 0 {
		t.Error("no length was such")
	}
}

func TestMistakesOfProtocols(t *testing.T) {
	const line = "maitred.yaml:4: pages[0]."
	page := func(keys string) string { return minimal + "pages: [{name: x, " + keys + "}]\n" }
	testMistakes(t, map[string]mistake{
		"unknown":        {page("protocol: smpt"), []string{line + `protocol: "smpt" is not a protocol that pages are told in (did you mean smtp?)`}},
		"a foreign key":  {page("protocol: smtp, status: 503, body: x"), []string{line + "body: is not for a page of protocol smtp, which has text", line + "status: is not for a page of protocol smtp, which has text"}},
		"text of http":   {page("text: x"), []string{line + "text: is not for a page of protocol http, which has status, reason, content_type, body, body_file, retry_after, headers, compress, burst, variants"}},
		"nothing at all": {page("protocol: tls, text: x"), []string{line + "text: is not for a page of protocol tls, which has no key of its own"}},
		"a long text":    {page("protocol: smtp, text: " + strings.Repeat("x", 600)), []string{line + "text: makes 612 bytes of smtp, at most 512 are possible: shorten it by 100"}},
		"two lines":      {page(`protocol: ftp, text: "a\nb"`), []string{line + "text: has a line break, which would end the line"}},
		"no bytes":       {page("protocol: raw"), []string{line + "bytes: is missing: say what is sent, with bytes or bytes_file"}},
		"both bytes":     {page("protocol: raw, bytes: a, bytes_file: b"), []string{line + "bytes_file: stands beside bytes: a page has one of the two"}},
		"no bytes file":  {page("protocol: raw, bytes_file: b"), []string{line + `bytes_file: "b" cannot be read: file does not exist`}},
		"compress":       {page("compress: on"), []string{line + `compress: "on" is not a way to compress: one of auto, off`}},
		"burst":          {page("burst: 0"), []string{line + "burst: 0 is out of range: 1 to 10"}},
		"template":       {page("template: yes"), []string{line + `template: "yes" is neither true nor false`}},
		"hosts":          {page("variants: [{hosts: ['a:80']}, {}]"), []string{line + `variants[0].hosts[0]: "a:80" has a port: write the name alone`, line + "variants[1].hosts: is missing: name the hosts that the variant is for"}},
		"once":           {page("status: 99, variants: [{hosts: [a]}]"), []string{line + "status: 99 is not an HTTP status: 200 to 599"}},
		"of a variant":   {page("variants: [{hosts: [a], status: 99}]"), []string{line + "variants[0].status: 99 is not an HTTP status: 200 to 599"}},
		"variant's file": {page("variants: [{hosts: [a], body: x, body_file: y}]"), []string{line + "variants[0].body_file: stands beside body: a page has one of the two"}},
	})
}

func TestMistakesOfTransport(t *testing.T) {
	const line = "maitred.yaml:3: services[0]."
	testMistakes(t, map[string]mistake{
		"tcp":      {withPage("protocol: unreachable"), []string{line + `sorry.page: page "x" is of protocol unreachable, which is for udp`}},
		"udp":      {minimalWith("protocol: udp, sorry: {page: x}") + "pages: [{name: x, protocol: smtp}]\n", []string{line + `sorry.page: page "x" is of protocol smtp: a udp service may have pages of dns and unreachable alone`}},
		"no page":  {minimalWith("protocol: udp, sorry: {linger: 5s}"), []string{line + "sorry: has no page, and none is usual for udp: name one of protocol dns or unreachable"}},
		"misspelt": {minimalWith("sorry: {page: x}") + "pages: [{name: x, protocol: smpt}]\n", []string{`maitred.yaml:4: pages[0].protocol: "smpt" is not a protocol that pages are told in (did you mean smtp?)`}},
	})
}

func TestMistakesOfTemplates(t *testing.T) {
	page := func(keys string) string {
		return minimal + "pages:\n- name: x\n  template: true\n" + keys
	}
	testMistakes(t, map[string]mistake{
		"unknown":    {page("  body: |\n    <p>\n    {{servcie}}\n"), []string{`maitred.yaml:7: pages[0].body: line 2 has "servcie" in braces, which is not a variable (did you mean service?)`}},
		"what is":    {page("  body: '{{x}}'\n"), []string{`maitred.yaml:7: pages[0].body: line 1 has "x" in braces, which is not a variable: one of service, time, contact`}},
		"no contact": {page("  reason: 'ask {{contact}}'\n"), []string{"maitred.yaml:7: pages[0].reason: line 1 has {{contact}}, and there is none: give the page a contact, or the director"}},
		"not closed": {page("  body: |\n    {{service\n    }}\n"), []string{`maitred.yaml:7: pages[0].body: line 1 has "{{" without "}}" after it`}},
		"a header":   {page("  headers: [{name: A, value: '{{b}}'}]\n"), []string{`maitred.yaml:7: pages[0].headers[0].value: line 1 has "b" in braces, which is not a variable: one of service, time, contact`}},
		"a variant":  {page("  variants: [{hosts: [a], body: '{{b}}'}]\n"), []string{`maitred.yaml:7: pages[0].variants[0].body: line 1 has "b" in braces, which is not a variable: one of service, time, contact`}},
		"line break": {page("  contact: \"a\\nb\"\n  headers: [{name: A, value: '{{contact}}'}]\n"), []string{"maitred.yaml:8: pages[0].headers[0].value: has a line break, which would end the line"}},
	})
}
