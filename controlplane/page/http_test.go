// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBuildBytes(t *testing.T) {
	image, err := Build(Spec{
		Status: 502, Reason: "Service temporarily down", ContentType: "text/html; charset=utf-8",
		Body: []byte("<p>Sorry.\n"), RetryAfter: 2 * time.Minute,
		Headers: []Header{{"X-Outage", "Planned"}, {"x-second", ""}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "HTTP/1.1 502 Service temporarily down\r\n" +
		"Content-Type: text/html; charset=utf-8\r\n" +
		"Content-Length: 10\r\n" +
		"Connection: close\r\n" +
		"Cache-Control: no-store\r\n" +
		"Retry-After: 120\r\n" +
		"X-Outage: Planned\r\n" +
		"x-second: \r\n" +
		"\r\n" +
		"<p>Sorry.\n"
	if diff := cmp.Diff(want, string(image.Response)); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if got, want := image.Head, len(image.Response)-10; got != want {
		t.Errorf("head is %d bytes, want %d", got, want)
	}
}

// Go's own client must read what was built, for GET and for HEAD.
func TestBuildIsReadByHTTP(t *testing.T) {
	body := bytes.Repeat([]byte("sorry "), 4000)
	image, err := Build(Spec{Status: 503, ContentType: "text/plain", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	for method, raw := range map[string][]byte{
		http.MethodGet: image.Response, http.MethodHead: image.Response[:image.Head],
	} {
		rest := bufio.NewReader(bytes.NewReader(raw))
		resp, err := http.ReadResponse(rest, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if resp.StatusCode != 503 || !resp.Close || resp.ContentLength != int64(len(body)) {
			t.Errorf("%s: status %d, close %v, length %d", method, resp.StatusCode, resp.Close, resp.ContentLength)
		}
		if method == http.MethodGet && !bytes.Equal(got, body) {
			t.Errorf("GET: body differs")
		}
		if rest.Buffered() != 0 {
			t.Errorf("%s: %d bytes left over", method, rest.Buffered())
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	good := func(change func(*Spec)) Spec {
		s := Spec{Status: 502, Reason: "Down", ContentType: "text/html"}
		change(&s)
		return s
	}
	for name, test := range map[string]struct {
		spec Spec
		want []string
	}{
		"status too low":   {good(func(s *Spec) { s.Status = 99 }), []string{"status: 99 is not an HTTP status: 200 to 599"}},
		"status too high":  {good(func(s *Spec) { s.Status = 600 }), []string{"status: 600 is not an HTTP status: 200 to 599"}},
		"informational":    {good(func(s *Spec) { s.Status = 100 }), []string{"status: a response with status 100 has no body: use 502 or 503"}},
		"no content":       {good(func(s *Spec) { s.Status = 204 }), []string{"status: a response with status 204 has no body: use 502 or 503"}},
		"reset content":    {good(func(s *Spec) { s.Status = 205 }), []string{"status: a response with status 205 has no body: use 502 or 503"}},
		"not modified":     {good(func(s *Spec) { s.Status = 304 }), []string{"status: a response with status 304 has no body: use 502 or 503"}},
		"line in reason":   {good(func(s *Spec) { s.Reason = "a\r\nSet-Cookie: b" }), []string{"reason: has a line break, which would end the line"}},
		"umlaut in reason": {good(func(s *Spec) { s.Reason = "Störung" }), []string{"reason: has a character outside ASCII, which does not fit there"}},
		"bell in type":     {good(func(s *Spec) { s.ContentType = "a\ab" }), []string{"content_type: has the control character '\\a'"}},
		"half a second":    {good(func(s *Spec) { s.RetryAfter = 1500 * time.Millisecond }), []string{"retry_after: 1.5s is not a number of whole seconds"}},
		"negative":         {good(func(s *Spec) { s.RetryAfter = -time.Second }), []string{"retry_after: -1s is not a number of whole seconds"}},
		"no name":          {good(func(s *Spec) { s.Headers = []Header{{"", "x"}} }), []string{"headers[0].name: is missing"}},
		"space in name":    {good(func(s *Spec) { s.Headers = []Header{{"a b", "x"}} }), []string{"headers[0].name: \"a b\" is not a header name: letters, digits and !#$%&'*+-.^_`|~"}},
		"line in value":    {good(func(s *Spec) { s.Headers = []Header{{"a", "x\ny"}} }), []string{"headers[0].value: has a line break, which would end the line"}},
		"space at end":     {good(func(s *Spec) { s.Headers = []Header{{"a", "x "}} }), []string{"headers[0].value: begins or ends with a space"}},
		"own length": {good(func(s *Spec) { s.Headers = []Header{{"content-LENGTH", "1"}} }), []string{
			"headers[0].name: content-LENGTH is not yours to set: every page is whole, closes its connection and may not be stored"}},
		"own type":  {good(func(s *Spec) { s.Headers = []Header{{"content-type", "a/b"}} }), []string{"headers[0].name: use content_type for Content-Type"}},
		"own retry": {good(func(s *Spec) { s.Headers = []Header{{"Retry-After", "1"}} }), []string{"headers[0].name: use retry_after for Retry-After"}},
		"long head": {good(func(s *Spec) { s.Headers = []Header{{"a", strings.Repeat("x", 500)}} }), []string{
			"headers: status line and header take 614 bytes, at most 536 are possible"}},
		"two at once": {good(func(s *Spec) { s.Status = 7; s.Reason = "\n" }), []string{
			"status: 7 is not an HTTP status: 200 to 599", "reason: has a line break, which would end the line"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(test.spec)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(strings.Join(test.want, "\n"), err.Error()); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			if field := new(FieldError); !errors.As(err, &field) {
				t.Errorf("%T holds no FieldError", err)
			}
		})
	}
}

func TestBuildLimits(t *testing.T) {
	spec := Spec{Status: 502, Reason: "Down", Body: make([]byte, MaxLength)}
	_, err := Build(spec)
	want := "body: header (88 bytes) and body (65534 bytes) take 65622 bytes, " +
		"at most 65534 are possible: shorten the body by 88"
	if err == nil || err.Error() != want {
		t.Fatalf("got %v\nwant %s", err, want)
	}
	spec.Body = spec.Body[88:]
	image, err := Build(spec)
	if err != nil {
		t.Fatalf("shortened as told: %v", err)
	}
	if got := len(image.Response); got != MaxLength {
		t.Errorf("%d bytes, want %d", got, MaxLength)
	}
	const others = 80 // bytes of the head that are not the reason
	spec = Spec{Status: 502, Reason: strings.Repeat("x", MaxHead-others)}
	if image, err := Build(spec); err != nil || image.Head != MaxHead {
		t.Errorf("head of %d bytes: %v, want %d", image.Head, err, MaxHead)
	}
	spec.Reason += "x"
	if _, err := Build(spec); err == nil {
		t.Error("a header of one byte too many is taken")
	}
}

func TestDigest(t *testing.T) {
	build := func(s Spec) uint64 {
		t.Helper()
		image, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		return image.Digest
	}
	a := build(Spec{Status: 502, Body: []byte("a")})
	if again := build(Spec{Status: 502, Body: []byte("a")}); a != again {
		t.Errorf("same page, digests %x and %x", a, again)
	}
	if b := build(Spec{Status: 502, Body: []byte("b")}); a == b || a == 0 {
		t.Errorf("digests %x and %x", a, b)
	}
	for name, change := range map[string]func(*Image){
		"head":    func(m *Image) { m.Head++ },
		"speech":  func(m *Image) { m.Speech = SpeechAny },
		"burst":   func(m *Image) { m.Burst = 3 },
		"variant": func(m *Image) { m.Variants = m.Variants[:0] },
		"host":    func(m *Image) { m.Variants = []Variant{{Host: "a", Image: m.Variants[0].Image}} },
		"coding":  func(m *Image) { m.Variants = []Variant{{Coding: "a", Image: m.Variants[0].Image}} },
		"opening": func(m *Image) { m.Variants = []Variant{{Image: m.Variants[0].Image}} },
		"variant's": func(m *Image) {
			m.Variants = []Variant{{Opening: OpeningTLS, Image: newImage([]byte("x"), 0, SpeechAny).sealed()}}
		},
	} {
		m, err := Build(Spec{Status: 502, Body: []byte("a")})
		if err != nil || m.Digest != a {
			t.Fatal(m.Digest, err)
		}
		change(&m)
		if m.sealed().Digest == a {
			t.Errorf("the %s does not show in the digest", name)
		}
	}
}
