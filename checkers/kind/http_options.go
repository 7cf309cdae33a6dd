// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// httpOptions describes the options of http.
func httpOptions() []Option {
	return []Option{
		{Name: "method", Form: FormText, Default: http.MethodGet, Values: []string{http.MethodGet, http.MethodHead}, Doc: "The method of the request."},
		{Name: "path", Form: FormText, Default: "/", Doc: "The path that is asked for, with the query if there is one."},
		{Name: "host", Form: FormText, Doc: "The Host header; without it the server's address."},
		{Name: "headers", Form: FormMaps, Doc: "More header fields.", Options: []Option{
			{Name: "name", Form: FormText, Doc: "The field's name."},
			{Name: "value", Form: FormText, Doc: "Its value."},
		}},
		{Name: "expect", Form: FormMap, Doc: "What the answer must be like.", Options: []Option{
			{Name: "status", Form: FormList, Default: `["200-299"]`, Doc: "The statuses that pass: single ones and ranges."},
			{Name: "body", Form: FormText, Doc: "A text that the first 64 KiB of the body must contain."},
		}},
	}
}

// httpsOptions describes the options of https.
func httpsOptions() []Option { return append(httpOptions(), tlsOptions()...) }

// newHTTP makes the checker of an http check from its options.
func newHTTP(env Env, o *options) checkers.Checker { return readHTTP(env, o, "http") }

// newHTTPS makes the checker of an https check from its options.
func newHTTPS(env Env, o *options) checkers.Checker {
	h := readHTTP(env, o, "https")
	h.tls = readTLS(o, h.host, "http/1.1")
	return h
}

func readHTTP(env Env, o *options, scheme string) *httpCheck {
	h := &httpCheck{
		dial:   env.Dialer.Dial,
		scheme: scheme,
		method: readMethod(o),
		url:    readPath(o),
		host:   readHost(o),
		header: readHeaders(o),
	}
	expect := o.in("expect")
	h.status = readStatus(expect)
	h.body = readBody(expect, h.method)
	return h
}

func readMethod(o *options) string {
	method := o.text("method", http.MethodGet)
	if method != http.MethodGet && method != http.MethodHead {
		o.reject([]string{"method"}, "%q is not a method for checks: use GET or HEAD", method)
	}
	return method
}

func readPath(o *options) url.URL {
	path := o.text("path", "/")
	if !strings.HasPrefix(path, "/") {
		o.reject([]string{"path"}, "%q does not begin with a slash: write it as /healthz", path)
		return url.URL{}
	}
	if strings.ContainsAny(path, " #") {
		o.reject([]string{"path"}, "%q holds a space or a #: write them as %%20 and %%23", path)
		return url.URL{}
	}
	// The path may begin with two slashes: only a whole URL keeps them apart
	// from a host.
	parsed, err := url.Parse("http://target" + path)
	if err != nil {
		o.reject([]string{"path"}, "%q is not a path of a URL: %v", path, err)
		return url.URL{}
	}
	return url.URL{Path: parsed.Path, RawPath: parsed.RawPath, RawQuery: parsed.RawQuery, ForceQuery: parsed.ForceQuery}
}

func readHost(o *options) string {
	host := o.text("host", "")
	if host == "" {
		return ""
	}
	if _, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			o.reject([]string{"host"}, "%q is not a port: they go from 1 to 65535", port)
		}
	}
	bare := bareHost(host)
	if address, err := netip.ParseAddr(bare); err == nil {
		if host == bare && address.Is6() {
			return "[" + bare + "]" // RFC 3986 section 3.2.2
		}
		return host
	}
	if problem := badName(bare); problem != "" {
		o.reject([]string{"host"}, "%s", problem)
	}
	return host
}

// bareHost takes the port off a Host header, and the brackets off an address.
func bareHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// badName says what is wrong with the name of a host, or nothing. Underscores
// are no part of a host name, but names inside a network have them.
func badName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Sprintf("%q is an address: a name belongs here", name)
	}
	if len(name) == 0 || len(name) > 253 {
		return fmt.Sprintf("%q is not the name of a host: it has %d bytes, and 1 to 253 are right", name, len(name))
	}
	for _, r := range name {
		if !alphanumeric(r) && !strings.ContainsRune("-._", r) {
			return fmt.Sprintf("%q is not the name of a host: %q is not allowed (a name in another script goes in its xn-- form)", name, r)
		}
	}
	return ""
}

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func readHeaders(o *options) http.Header {
	header := http.Header{"User-Agent": {"maitred"}}
	agent := false
	for _, field := range o.each("headers") {
		name := http.CanonicalHeaderKey(field.need("name"))
		value := field.need("value")
		if name == "" || value == "" {
			continue // a mistake already
		}
		if problem := badFieldName(name); problem != "" {
			field.reject([]string{"name"}, "%s", problem)
			continue
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			field.reject([]string{"value"}, "holds a control character") // not the value: it may be a password
			continue
		}
		if name == "User-Agent" && !agent {
			header.Del(name) // the operator's replaces ours
			agent = true
		}
		header.Add(name, value)
	}
	return header
}

// badFieldName says what is wrong with the name of a header field (RFC 9110
// section 5.1), or nothing.
func badFieldName(name string) string {
	switch name {
	case "Host":
		return "is set by the option host"
	case "Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade", "Te", "Keep-Alive", "Expect":
		return fmt.Sprintf("%s is the check's own to set: remove it", name)
	}
	for _, r := range name {
		if !alphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return fmt.Sprintf("%q is not the name of a header field: %q is not allowed", name, r)
		}
	}
	return ""
}

func readStatus(expect *options) ranges {
	var all ranges
	list := expect.list("status")
	for i, value := range list {
		one, err := parseStatus(fmt.Sprint(value))
		if err != nil {
			expect.reject([]string{"status", strconv.Itoa(i)}, "%v", err)
			continue
		}
		all = append(all, one)
	}
	if len(list) == 0 {
		if _, ok := expect.values["status"].([]any); ok {
			expect.reject([]string{"status"}, `is an empty list: give at least one, or remove it for "200-299"`)
		}
		return ranges{{200, 299}}
	}
	return all
}

// parseStatus reads "204" or "200-299".
func parseStatus(text string) (statusRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	low, err1 := strconv.Atoi(first)
	high, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil {
		return statusRange{}, fmt.Errorf(`%q is not a status: write it as "200" or "200-299"`, text)
	}
	if low < 100 || high > 599 || low > high {
		return statusRange{}, fmt.Errorf("%q is not a range of statuses: they go from 100 to 599, the lower one first", text)
	}
	return statusRange{low, high}, nil
}

func readBody(expect *options, method string) []byte {
	body := expect.text("body", "")
	switch {
	case body != "" && method == http.MethodHead:
		expect.reject([]string{"body"}, "cannot be expected of HEAD, whose answer has no body: use method: GET")
	case len(body) > maxBody:
		expect.reject([]string{"body"}, "is longer than the %d bytes that are read", maxBody)
	}
	return []byte(body)
}
