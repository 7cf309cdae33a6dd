// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

// catalogue is a page that compresses well, and has another for one host.
func catalogue() service {
	return service{name: "catalogue", port: 80, page: bodyFile("long.html") + `, variants: [{hosts: [shop.example], status: 503, body: "The shop is closed."}]`}
}

// wish is a request by curl, and what it is answered with.
type wish struct {
	name    string
	options []string
	status  int
	coding  string
	body    string // decoded
}

func wishes() []wish {
	whole := string(page("long"))
	return []wish{
		{"nothing said", nil, 502, "", whole},
		{"gzip", []string{"-H", "Accept-Encoding: gzip"}, 502, "gzip", whole},
		{"brotli", []string{"-H", "Accept-Encoding: br"}, 502, "br", whole},
		{"all of them", []string{"-H", "Accept-Encoding: gzip, deflate, br, zstd"}, 502, "br", whole},
		{"no gzip", []string{"-H", "Accept-Encoding: gzip;q=0"}, 502, "", whole},
		{"a host", []string{"-H", "Host: shop.example"}, 503, "", "The shop is closed."},
		{"a host with a port", []string{"-H", "Host: SHOP.example:80"}, 503, "", "The shop is closed."},
		{"another host", []string{"-H", "Host: shop.example.org"}, 502, "", whole},
	}
}

func TestVariants(t *testing.T) {
	for _, attach := range []string{"tc", "xdp"} {
		t.Run(attach, func(t *testing.T) {
			s := newStage(t, attach, catalogue())
			for _, vip := range addresses() {
				for _, w := range wishes() {
					for _, method := range []string{http.MethodGet, http.MethodHead} {
						t.Run(fmt.Sprintf("%s/%s/%s", vip, w.name, method), func(t *testing.T) {
							s.unhurt(t, func() { w.wantAnswer(t, s.client, method, urlOf(vip, catalogue())) })
						})
					}
				}
			}
		})
	}
}

func (w wish) wantAnswer(t *testing.T, c client, method, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	options := w.options
	if method == http.MethodHead {
		options = append([]string{"-I"}, options...)
	}
	res, err := curl(options...)(ctx, c, url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := decoded(res)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodHead {
		w.body = ""
	}
	if coding := res.Header.Get("Content-Encoding"); res.StatusCode != w.status || coding != w.coding || body != w.body {
		t.Errorf("%s, coding %q, %d bytes: %.100q", res.Status, coding, len(body), body)
	}
	// Who keeps a page is to know that others get another.
	if vary := res.Header.Get("Vary"); w.coding != "" && !strings.Contains(vary, "Accept-Encoding") {
		t.Errorf("Vary: %q", vary)
	}
	if method == http.MethodHead && w.coding != "" && res.ContentLength >= int64(len(page("long"))) {
		t.Errorf("content length %d", res.ContentLength)
	}
}

func decoded(res *http.Response) (string, error) {
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) == 0 {
		return "", err
	}
	var from io.Reader = bytes.NewReader(body)
	switch res.Header.Get("Content-Encoding") {
	case "gzip":
		if from, err = gzip.NewReader(from); err != nil {
			return "", err
		}
	case "br":
		from = brotli.NewReader(from)
	}
	body, err = io.ReadAll(from)
	return string(body), err
}

// TestDecoders has clients ask for codings by themselves, and show what was coded.
func TestDecoders(t *testing.T) {
	s := newStage(t, "tc", catalogue())
	for _, h := range []httpClient{
		{name: "go", get: byGo},
		{name: "node fetch", get: printed("node", "fetch.js")},
	} {
		for _, vip := range addresses() {
			t.Run(h.name+"/"+vip.String(), func(t *testing.T) {
				s.unhurt(t, func() { h.wantPage(t, s.client, urlOf(vip, catalogue()), page("long")) })
			})
		}
	}
	for _, program := range []string{
		"curl -sS -g --noproxy * --compressed URL",
		"wget -q --no-proxy --content-on-error --tries=1 --compression=auto -O - URL",
	} {
		for _, vip := range addresses() {
			words := strings.Fields(program)
			t.Run(words[0]+"/"+vip.String(), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				words[len(words)-1] = urlOf(vip, catalogue())
				s.unhurt(t, func() {
					if answer := s.ask(ctx, words...); answer.out != string(page("long")) {
						t.Errorf("%v with %d bytes: %s", answer.ended, len(answer.out), answer.err)
					}
				})
			})
		}
	}
}

// TestTLSAtHTTP has a client of HTTPS come to a port of HTTP. It gets more than one
// alert, and closes when it has read the first: its kernel resets what is done with.
func TestTLSAtHTTP(t *testing.T) {
	s := newStage(t, "tc", catalogue())
	for _, vip := range addresses() {
		a := asker{program: strings.Fields("curl -sS -g -k --noproxy * https://[HOST]:PORT/"), says: []string{"alert internal error"}}
		t.Run(vip.String(), func(t *testing.T) { a.wantApology(t, s, netip.AddrPortFrom(vip, 80)) })
	}
}
