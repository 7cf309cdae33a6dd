// SPDX-License-Identifier: Apache-2.0

package sorryserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/sorryserver"
)

// authority is a certificate of its own authority, for shop.example and loopback
// addresses.
type authority struct {
	cert, key []byte // PEM
	pair      *tls.Certificate
	pool      *x509.CertPool
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"shop.example", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		pool: x509.NewCertPool(),
	}
	pair, err := tls.X509KeyPair(a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.pair = &pair
	a.pool.AppendCertsFromPEM(a.cert)
	return a
}

// file writes what others read to a file.
func file(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func build(t *testing.T, status int, body string) page.Image {
	t.Helper()
	image, err := page.Build(page.Spec{
		Status: status, Reason: "Service temporarily down", ContentType: "text/html", Body: []byte(body), RetryAfter: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// served is a server on a loopback address.
type served struct {
	*sorryserver.Server
	site *sorryserver.Site
	addr string
}

func serve(t *testing.T, image page.Image, pair *tls.Certificate, edit func(*sorryserver.Limits)) served {
	t.Helper()
	limits := sorryserver.DefaultLimits()
	if edit != nil {
		edit(&limits)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	site, err := sorryserver.NewSite(image, pair)
	if err != nil {
		t.Fatal(err)
	}
	s := sorryserver.NewServer(limits)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l, site) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return served{s, site, l.Addr().String()}
}

// raw says something on a connection of its own and returns all that comes back.
func raw(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("read: %v, after %q", err, all)
	}
	return string(all)
}

func TestRequestsOfHTTP1(t *testing.T) {
	const body = "<h1>Sorry</h1>\n"
	image := build(t, 502, body)
	s := serve(t, image, nil, nil)
	whole := string(image.Response)
	open := strings.Replace(whole, "Connection: close\r\n", "", 1)
	tests := map[string]struct{ say, want string }{
		"last":             {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "closed"},
		"1.0":              {"GET /anything HTTP/1.0\r\n\r\n", "closed"},
		"head":             {"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "head"},
		"post":             {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", "closed"},
		"chunks":           {"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "closed"},
		"expects continue": {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "closed"},
		"garbage":          {"what?\r\n\r\n", "closed"},
		"no version":       {"GET /\r\n\r\n", "closed"},
		"long line":        {"GET /" + strings.Repeat("a", 20000) + " HTTP/1.1\r\n\r\n", "closed"},
		"long header":      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 20000) + "\r\n\r\n", "closed"},
		"two":              {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "two"},
		"OPTIONS":          {"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "closed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{
				"closed": closed(open, body), "two": open + closed(open, body),
				"head": strings.TrimSuffix(closed(open, body), body),
			}[test.want]
			if got := raw(t, s.addr, test.say); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// closed is a response after which the connection ends.
func closed(open, body string) string {
	head := strings.TrimSuffix(open, "\r\n"+body)
	return head + "Connection: close\r\n\r\n" + body
}

func TestBodyBeyondTheBound(t *testing.T) {
	s := serve(t, build(t, 503, "sorry"), nil, nil)
	body := bytes.Repeat([]byte{'a'}, 8<<20)
	resp, err := http.Post("http://"+s.addr+"/upload", "text/plain", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 503 || string(text) != "sorry" {
		t.Errorf("status %d, body %q", resp.StatusCode, text)
	}
}

func TestProtocolsOfGo(t *testing.T) {
	a := newAuthority(t, "sorry")
	s := serve(t, build(t, 502, "sorry"), a.pair, nil)
	tests := map[string]struct {
		url    string
		edit   func(*http.Protocols, *tls.Config)
		proto  string
		secure uint16
	}{
		"http/1.1":                {"http://", func(p *http.Protocols, _ *tls.Config) { p.SetHTTP1(true) }, "HTTP/1.1", 0},
		"h2 by prior knowledge":   {"http://", func(p *http.Protocols, _ *tls.Config) { p.SetUnencryptedHTTP2(true) }, "HTTP/2.0", 0},
		"http/1.1 within TLS 1.3": {"https://", func(p *http.Protocols, _ *tls.Config) { p.SetHTTP1(true) }, "HTTP/1.1", tls.VersionTLS13},
		"h2 within TLS 1.3":       {"https://", func(p *http.Protocols, _ *tls.Config) { p.SetHTTP2(true) }, "HTTP/2.0", tls.VersionTLS13},
		"h2 within TLS 1.2": {"https://", func(p *http.Protocols, c *tls.Config) {
			p.SetHTTP2(true)
			c.MaxVersion = tls.VersionTLS12
		}, "HTTP/2.0", tls.VersionTLS12},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{Protocols: &http.Protocols{}, TLSClientConfig: &tls.Config{RootCAs: a.pool}}
			test.edit(transport.Protocols, transport.TLSClientConfig)
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
			for _, method := range []string{"GET", "POST", "HEAD"} {
				req, err := http.NewRequest(method, test.url+s.addr+"/x?y", strings.NewReader(""))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				want := "sorry"
				if method == "HEAD" {
					want = ""
				}
				if resp.StatusCode != 502 || string(text) != want || resp.Proto != test.proto ||
					resp.Header.Get("Retry-After") != "60" || resp.ContentLength != 5 {
					t.Errorf("%s: %s %d %q %v", method, resp.Proto, resp.StatusCode, text, resp.Header)
				}
				if (resp.TLS == nil) != (test.secure == 0) || resp.TLS != nil && resp.TLS.Version != test.secure {
					t.Errorf("%s: TLS %+v", method, resp.TLS)
				}
			}
		})
	}
	if _, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

func TestVariants(t *testing.T) {
	image := build(t, 502, "default")
	image.Variants = []page.Variant{
		{Opening: page.OpeningTLS, Image: page.Image{Response: []byte("alert")}},
		{Host: "shop.example", Coding: page.CodingGzip, Image: build(t, 502, "shop in gzip")},
		{Host: "shop.example", Image: build(t, 503, "shop")},
		{Coding: page.CodingBrotli, Image: build(t, 502, "any in br")},
	}
	s := serve(t, image, nil, nil)
	for name, test := range map[string]struct{ host, accept, want string }{
		"none":            {"a", "", "default"},
		"host":            {"shop.example", "", "shop"},
		"host with port":  {"SHOP.example:80", "", "shop"},
		"host and coding": {"shop.example", "br, gzip;q=0.5", "shop in gzip"},
		"coding refused":  {"shop.example", "gzip;q=0", "shop"},
		"coding":          {"a", "gzip, br", "any in br"},
		"other coding":    {"a", "gzip", "default"},
	} {
		t.Run(name, func(t *testing.T) {
			text := "GET / HTTP/1.1\r\nHost: " + test.host + "\r\nConnection: close\r\n"
			if test.accept != "" {
				text += "Accept-Encoding: " + test.accept + "\r\n"
			}
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw(t, s.addr, text+"\r\n"))), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(resp.Body); string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestPagesThatCannotBeServed(t *testing.T) {
	for name, image := range map[string]page.Image{
		"of another protocol": {Response: []byte("421 sorry\r\n"), Head: 11, Speech: page.SpeechGreeting},
		"without a head":      {Response: []byte("x")},
		"no status":           {Response: []byte("421 sorry\r\n\r\n"), Head: 13},
	} {
		if _, err := sorryserver.NewSite(image, nil); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

// A page and a certificate change while a client is here: it goes on with the
// connection that it has, and gets the new page.
func TestChange(t *testing.T) {
	old, next := newAuthority(t, "old"), newAuthority(t, "new")
	s := serve(t, build(t, 502, "old"), old.pair, nil)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: old.pool}, ForceAttemptHTTP2: true}}
	get := func(client *http.Client) string {
		t.Helper()
		resp, err := client.Get("https://" + s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return resp.TLS.PeerCertificates[0].Subject.CommonName + " " + string(text)
	}
	if got := get(client); got != "old old" {
		t.Errorf("got %s", got)
	}
	if err := s.site.Set(build(t, 503, "new"), next.pair); err != nil {
		t.Fatal(err)
	}
	if got := get(client); got != "old new" {
		t.Errorf("with the connection from before got %s", got)
	}
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: next.pool}}}
	if got := get(other); got != "new new" {
		t.Errorf("with another connection got %s", got)
	}
}
