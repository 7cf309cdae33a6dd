// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
)

// html compresses well, noise does not.
func html(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<p>Paragraph %d of a page that says sorry.</p>\n", i)
	}
	return b.Bytes()[:n]
}

func noise(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func mustBuild(t *testing.T, s Spec) Image {
	t.Helper()
	m, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// names lists the variants of a page in their order.
func names(m Image) (all []string) {
	for _, v := range m.Variants {
		all = append(all, strings.Trim(fmt.Sprintf("%s %s %s", v.Host, v.Coding, v.Opening), " "))
	}
	return all
}

// decoded reads a response as a client does, and undoes its coding.
func decoded(t *testing.T, m Image, method string) (*http.Response, []byte) {
	t.Helper()
	raw := m.Response
	if method == http.MethodHead {
		raw = raw[:m.Head]
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body io.Reader = resp.Body
	if method != http.MethodHead {
		switch resp.Header.Get("Content-Encoding") {
		case "gzip":
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		case "br":
			body = brotli.NewReader(body)
		}
	}
	all, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, all
}

func TestCodings(t *testing.T) {
	body := html(20_000)
	m := mustBuild(t, Spec{Status: 502, Reason: down, ContentType: "text/html", Body: body, Compress: true})
	if diff := cmp.Diff([]string{"br", "gzip", "tls"}, names(m)); diff != "" {
		t.Fatalf("variants (-want +got):\n%s", diff)
	}
	forms := map[string]Image{"": m, "br": m.Variants[0].Image, "gzip": m.Variants[1].Image}
	for coding, form := range forms {
		resp, got := decoded(t, form, http.MethodGet)
		if !bytes.Equal(got, body) || resp.Header.Get("Content-Encoding") != coding || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %d bytes of body, %v", coding, len(got), resp.Header)
		}
		if coding != "" && len(form.Response) > len(m.Response)/4 {
			t.Errorf("%s: %d bytes of %d", coding, len(form.Response), len(m.Response))
		}
		head, _ := decoded(t, form, http.MethodHead)
		if head.ContentLength != resp.ContentLength || head.Header.Get("Content-Encoding") != coding || form.Head > MaxHead {
			t.Errorf("%s: HEAD says %v, %d bytes", coding, head.Header, head.ContentLength)
		}
	}
	if again := mustBuild(t, Spec{Status: 502, Reason: down, ContentType: "text/html", Body: body, Compress: true}); again.Digest != m.Digest {
		t.Error("the same page has another digest")
	}
}

// A coding that does not pay is not offered.
func TestCodingsThatDoNotPay(t *testing.T) {
	for name, s := range map[string]Spec{
		"within one segment": {Body: html(1000), Compress: true},
		"noise":              {Body: noise(20_000), Compress: true},
		"off":                {Body: html(20_000)},
		"coded already":      {Body: html(20_000), Compress: true, Headers: []Header{{"content-encoding", "zstd"}}},
		"no room for Vary":   {Body: html(20_000), Compress: true, Headers: []Header{{"a", strings.Repeat("x", 430)}}},
	} {
		s.Status = 502
		m := mustBuild(t, s)
		if diff := cmp.Diff([]string{"tls"}, names(m)); diff != "" {
			t.Errorf("%s: variants (-want +got):\n%s", name, diff)
		}
		if resp, _ := decoded(t, m, http.MethodGet); resp.Header.Get("Vary") != "" {
			t.Errorf("%s: %v", name, resp.Header)
		}
	}
}

func TestHosts(t *testing.T) {
	m := mustBuild(t, Spec{
		Status: 502, Reason: down, Body: []byte("any"), Compress: true,
		Hosts: []HostSpec{
			{Hosts: []string{"Shop.example", "www.shop.example"}, Spec: Spec{Status: 503, Body: html(9000)}},
			{Hosts: []string{"[2001:db8::1]", "192.0.2.1"}, Spec: Spec{Status: 429, Body: []byte("later")}},
		},
	})
	want := []string{
		"shop.example br", "shop.example gzip", "shop.example", "www.shop.example br", "www.shop.example gzip", "www.shop.example",
		"[2001:db8::1]", "192.0.2.1", "tls",
	}
	if diff := cmp.Diff(want, names(m)); diff != "" {
		t.Errorf("variants (-want +got):\n%s", diff)
	}
	if resp, body := decoded(t, m.Variants[2].Image, http.MethodGet); resp.StatusCode != 503 || !bytes.Equal(body, html(9000)) {
		t.Errorf("the shop's: %d, %d bytes", resp.StatusCode, len(body))
	}
	if resp, body := decoded(t, m, http.MethodGet); resp.StatusCode != 502 || string(body) != "any" {
		t.Errorf("of any: %d, %q", resp.StatusCode, body)
	}
	// Two hosts with one page have it once: br, gzip, plain, later, any.
	if m.Slots() != 5 || m.Burst != MaxBurst || m.Variants[7].Image.Burst != MaxBurst {
		t.Errorf("%d slots, bursts of %d", m.Slots(), m.Burst)
	}
	if m.Longest() <= 9000 || m.Longest() > 9200 {
		t.Errorf("the longest has %d bytes", m.Longest())
	}
}

func TestBurst(t *testing.T) {
	for name, test := range map[string]struct {
		spec Spec
		want int
	}{
		"one segment":    {Spec{Body: html(1000)}, 1},
		"more":           {Spec{Body: html(1500)}, MaxBurst},
		"as it is asked": {Spec{Body: html(1500), Burst: 3}, 3},
	} {
		test.spec.Status = 502
		if got := mustBuild(t, test.spec).Burst; got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestHostsRefuse(t *testing.T) {
	hosts := func(names ...string) []HostSpec { return []HostSpec{{Hosts: names, Spec: Spec{Status: 502}}} }
	many := make([]string, 31)
	for i := range many {
		many[i] = fmt.Sprintf("host%d.example", i)
	}
	for name, test := range map[string]struct {
		spec Spec
		want string
	}{
		"none":        {Spec{Hosts: hosts()}, "variants[0].hosts: is missing: name the hosts that the variant is for"},
		"empty":       {Spec{Hosts: hosts("")}, `variants[0].hosts[0]: "" is not the name of a host`},
		"a space":     {Spec{Hosts: hosts("a b")}, `variants[0].hosts[0]: "a b" is not the name of a host`},
		"a port":      {Spec{Hosts: hosts("a", "b:80")}, `variants[0].hosts[1]: "b:80" has a port: write the name alone`},
		"a dot":       {Spec{Hosts: hosts("a.")}, `variants[0].hosts[0]: "a." ends with a dot: write the name without it`},
		"a wildcard":  {Spec{Hosts: hosts("*.example")}, `variants[0].hosts[0]: "*.example" has a wildcard: each host is named by itself`},
		"an umlaut":   {Spec{Hosts: hosts("büro.example")}, `variants[0].hosts[0]: "büro.example" has a character outside ASCII: write it as xn--..., which is what browsers send`},
		"no brackets": {Spec{Hosts: hosts("2001:db8::1")}, `variants[0].hosts[0]: "2001:db8::1" is an IPv6 address: put it in brackets, as in [2001:db8::1]`},
		"a zone":      {Spec{Hosts: hosts("[fe80::1%eth0]")}, `variants[0].hosts[0]: "[fe80::1%eth0]" has a zone, which no Host line has`},
		"twice":       {Spec{Hosts: append(hosts("a"), hosts("A")...)}, `variants[1].hosts[0]: "A" belongs to variants[0] already`},
		"its status":  {Spec{Hosts: []HostSpec{{Hosts: []string{"a"}, Spec: Spec{Status: 9}}}}, "variants[0].status: 9 is not an HTTP status: 200 to 599"},
		"too many": {Spec{Hosts: hosts(many...)},
			"variants: make 32 with the codings of each and the one for TLS, at most 31 are possible: name fewer hosts, or say compress: off"},
		"a burst": {Spec{Burst: 11}, "burst: 11 is out of range: 1 to 10"},
	} {
		t.Run(name, func(t *testing.T) {
			test.spec.Status = 502
			if _, err := Build(test.spec); err == nil || err.Error() != test.want {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	s := Spec{Status: 502, Body: html(60_000), Compress: true}
	for b.Loop() {
		if _, err := Build(s); err != nil {
			b.Fatal(err)
		}
	}
}

func TestChoose(t *testing.T) {
	m := mustBuild(t, Spec{
		Status: 502, Body: html(9000), Compress: true,
		Hosts: []HostSpec{{Hosts: []string{"shop.example"}, Spec: Spec{Status: 503, Body: html(9000)}}},
	}) // shop br, shop gzip, shop, br, gzip, tls
	both := []Coding{CodingGzip, CodingBrotli}
	for name, test := range map[string]struct {
		client Client
		want   int
	}{
		"anybody":          {Client{}, 0},
		"another host":     {Client{Host: "other.example"}, 0},
		"gzip":             {Client{Codings: both[:1]}, 5},
		"the best of two":  {Client{Codings: both}, 4},
		"the shop":         {Client{Host: "Shop.example.:8080"}, 3},
		"the shop in gzip": {Client{Host: "shop.example", Codings: both[:1]}, 2},
		"all":              {Client{Host: "shop.example", Codings: both}, 1},
		"tls":              {Client{Opening: OpeningTLS}, 6},
	} {
		image, got := m.Choose(test.client)
		if got != test.want {
			t.Errorf("%s: variant %d, want %d", name, got, test.want)
		}
		if want := append([]Variant{{Image: m}}, m.Variants...)[got].Image; image.Digest != want.Digest {
			t.Errorf("%s: another page than that of the variant", name)
		}
	}
}

// All forms of a page with one status begin alike, and none ends soon: then the
// kernel may answer what does not tell yet which of them suits (maps/pages_alike.go).
func TestFormsBeginAlike(t *testing.T) {
	const grid = 32
	m := mustBuild(t, Spec{
		Status: 502, Reason: down, ContentType: "text/html", Body: html(9000), Compress: true,
		Hosts: []HostSpec{{Hosts: []string{"a"}, Spec: Spec{Status: 502, Reason: down, ContentType: "text/html"}}},
	})
	for i, v := range m.Variants {
		switch {
		case v.Opening == OpeningTLS:
			if len(v.Image.Response) < grid {
				t.Errorf("the alert has %d bytes", len(v.Image.Response))
			}
		case !bytes.Equal(v.Image.Response[:grid], m.Response[:grid]) || v.Image.Head < 2*grid:
			t.Errorf("variant %d: a header of %d bytes, %q", i+1, v.Image.Head, v.Image.Response[:grid])
		}
	}
}
