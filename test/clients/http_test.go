// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// httpClient fetches a URL.
type httpClient struct {
	name     string
	headOnly bool
	get      func(ctx context.Context, c client, url string) (*http.Response, error)
}

var httpClients = []httpClient{
	{name: "curl", get: curl()},
	{name: "curl HEAD", get: curl("-I"), headOnly: true},
	{name: "curl POST", get: curl("--data-binary", "@post.py")},
	{name: "curl HTTP 1.0", get: curl("-0")},
	{name: "curl upgrade to HTTP 2", get: curl("--http2")},
	{name: "wget", get: wget},
	{name: "go", get: byGo},
	{name: "python", get: printed("python3", "get.py")},
	{name: "python POST", get: printed("python3", "post.py")},
	{name: "node http", get: printed("node", "get.js")},
	{name: "node fetch", get: printed("node", "fetch.js")},
	{name: "java", get: printed("java", "Get")},
}

// pages of about a segment, and of many.
func pageServices() []service {
	return []service{
		{name: "short", port: 80, page: bodyFile("short.html")},
		{name: "long", port: 8080, page: bodyFile("long.html")},
	}
}

func bodyFile(name string) string { return fmt.Sprintf("body_file: %q", name) }

func TestHTTP(t *testing.T) {
	for _, attach := range []string{"tc", "xdp"} {
		t.Run(attach, func(t *testing.T) {
			s := newStage(t, attach, pageServices()...)
			s.compile(t)
			for _, h := range httpClients {
				for _, vip := range addresses() {
					for _, v := range pageServices() {

						t.Run(fmt.Sprintf("%s/%s/%s", h.name, vip, v.name), func(t *testing.T) {
							s.unhurt(t, func() { h.wantPage(t, s.client, urlOf(vip, v), page(v.name)) })
						})
					}
				}
			}
		})
	}
}

func (h httpClient) wantPage(t *testing.T, c client, url string, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	res, err := h.get(ctx, c, url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	t.Logf("%s, %d bytes after %v", res.Status, len(body), time.Since(began).Round(time.Millisecond))
	if h.headOnly {
		if res.ContentLength != int64(len(want)) {
			t.Errorf("content length %d, want %d", res.ContentLength, len(want))
		}
		want = nil
	}
	if res.StatusCode != http.StatusBadGateway || !bytes.Equal(body, want) {
		t.Errorf("%s with %d bytes, want 502 with %d: %.200q", res.Status, len(body), len(want), body)
	}
}

// curl prints the whole response.
func curl(options ...string) func(context.Context, client, string) (*http.Response, error) {
	return func(ctx context.Context, c client, url string) (*http.Response, error) {
		method := http.MethodGet
		if options != nil && options[0] == "-I" {
			method = http.MethodHead
		}
		args := append([]string{"curl", "-sS", "-g", "-i", "--noproxy", "*"}, options...)
		return c.ask(ctx, append(args, url)...).response(method)
	}
}

func wget(ctx context.Context, c client, url string) (*http.Response, error) {
	answer := c.ask(ctx, "wget", "-q", "--no-proxy", "--content-on-error", "--save-headers", "--tries=1", "-O", "-", url)
	const serverError = 8
	if exit := new(exec.ExitError); errors.As(answer.ended, &exit) && exit.ExitCode() == serverError {
		answer.ended = nil
	}
	return answer.response(http.MethodGet)
}

// printed runs a program that prints the response that it got: a status line, an
// empty line and the body.
func printed(program ...string) func(context.Context, client, string) (*http.Response, error) {
	return func(ctx context.Context, c client, url string) (*http.Response, error) {
		return c.ask(ctx, append(program, url)...).response(http.MethodGet)
	}
}

// response parses what a program printed.
func (s said) response(method string) (*http.Response, error) {
	if s.ended != nil {
		return nil, fmt.Errorf("%w: %s", s.ended, s.err)
	}
	if _, rest, ok := strings.Cut(s.out, "\r\n\r\nHTTP/"); ok { // behind an interim response
		s.out = "HTTP/" + rest
	}
	s.out = strings.Replace(s.out, "HTTP/2 ", "HTTP/2.0 ", 1) // as curl writes it
	return http.ReadResponse(bufio.NewReader(strings.NewReader(s.out)), &http.Request{Method: method})
}

func byGo(ctx context.Context, c client, url string) (*http.Response, error) {
	return c.fetch(ctx, url, &http.Transport{DialContext: c.DialContext, DisableKeepAlives: true})
}

func (client) fetch(ctx context.Context, url string, by *http.Transport) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return (&http.Client{Transport: by}).Do(req)
}

func urlOf(vip netip.Addr, v service) string {
	return fmt.Sprintf("http://%s/any/url?x=1", netip.AddrPortFrom(vip, v.port))
}
