// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// requestOptions describes the options of all versions of HTTP.
func requestOptions() []Option {
	return []Option{
		{Name: "method", Form: FormText, Default: http.MethodGet, Doc: "The method of the request: GET, HEAD, POST or another."},
		{Name: "path", Form: FormText, Default: "/", Doc: "The path that is asked for, with the query if there is one."},
		{Name: "host", Form: FormText, Doc: "The Host header; without it the server's address."},
		{Name: "headers", Form: FormMaps, Doc: "More header fields.", Options: []Option{
			{Name: "name", Form: FormText, Doc: "The field's name."},
			{Name: "value", Form: FormText, Doc: "Its value."},
		}},
		{Name: "body", Form: FormText, Doc: "The body of the request. A header Content-Type says what it is."},
		{Name: "body_file", Form: FormFile, Doc: "The same from a file."},
		{Name: "auth_file", Form: FormFile, Doc: "A file with user:password for basic authentication (RFC 7617)."},
		{Name: "max_body", Form: FormSize, Default: "64KiB", Doc: "How much of the answer's body is read: 1 to 16MiB."},
		{Name: "weight_header", Form: FormText, Doc: "The answer's header field that holds how much of its weight the server should get, in percent: 0 to 1000. 0 drains it; without the field it gets all."},
		expectOptions(),
	}
}

// httpOptions describes the options of http.
func httpOptions() []Option { return append(requestOptions(), connectionOptions(version2C)...) }

// httpsOptions describes the options of https.
func httpsOptions() []Option {
	return slices.Concat(requestOptions(), connectionOptions(version2), secureOptions())
}

// connectionOptions describes how HTTP over TCP is spoken.
func connectionOptions(second string) []Option {
	return []Option{
		{Name: "version", Form: FormText, Default: version1, Values: []string{version1, second}, Doc: "The version of HTTP, by its name in ALPN; no other will do."},
		{Name: "reuse", Form: FormFlag, Default: "false", Doc: "Whether to keep the connection for the next run, if that comes within two minutes. One that has died is replaced within the run."},
	}
}

// newHTTP makes the checker of an http check from its options.
func newHTTP(env Env, o *options) checkers.Checker { return readHTTP(env, o, "http", version2C) }

// newHTTPS makes the checker of an https check from its options.
func newHTTPS(env Env, o *options) checkers.Checker {
	h := readHTTP(env, o, "https", version2)
	h.secure = readSecure(o, h.host, h.version)
	if h.version == version2 {
		h.secure.demandALPN()
	}
	return h
}

func readHTTP(env Env, o *options, scheme, second string) *httpCheck {
	h := readAsked(o, scheme)
	h.dial = env.Dialer.Dial
	h.version = o.choice("version", version1, version1, second)
	if o.flag("reuse", false) {
		h.keep = &keeper{}
	}
	return h
}

// readAsked reads what is asked and what is expected.
func readAsked(o *options, scheme string) *httpCheck {
	h := &httpCheck{
		scheme: scheme,
		method: readMethod(o),
		url:    readPath(o),
		host:   readHost(o),
		header: readHeaders(o),
	}
	h.payload = readPayload(o)
	addAuth(o, h.header)
	h.expect = readExpectation(o, h.method)
	return h
}

func readMethod(o *options) string {
	method := o.text("method", http.MethodGet)
	other := func(r rune) bool { return r < 'A' || r > 'Z' }
	if strings.ContainsFunc(method, other) || method == http.MethodConnect {
		o.reject([]string{"method"}, "%q is not a method for checks: use GET, HEAD, POST or another in capital letters", method)
	}
	return method
}

func readPayload(o *options) []byte {
	text, file := o.text("body", ""), o.text("body_file", "")
	if file == "" {
		return []byte(text)
	}
	if text != "" {
		o.reject([]string{"body_file"}, "and body exclude one another: remove one of the two")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		o.reject([]string{"body_file"}, "%v", err)
	}
	return content
}

// addAuth adds basic authentication, where it is wanted, to a header.
func addAuth(o *options, header http.Header) {
	auth := readAuth(o)
	if auth == "" {
		return
	}
	if header.Get("Authorization") != "" {
		o.reject([]string{"auth_file"}, "and a header Authorization exclude one another: remove one of the two")
	}
	header.Set("Authorization", "Basic "+auth)
}

// readAuth reads user:password from a file and encodes it as RFC 7617 says.
func readAuth(o *options) string {
	file := o.text("auth_file", "")
	if file == "" {
		return ""
	}
	content, err := os.ReadFile(file)
	if err != nil {
		o.reject([]string{"auth_file"}, "%v", err)
		return ""
	}
	pair := strings.TrimRight(string(content), "\r\n")
	if user, _, ok := strings.Cut(pair, ":"); !ok || user == "" || strings.ContainsAny(pair, "\r\n") {
		o.reject([]string{"auth_file"}, "%s does not hold one line user:password", file) // not the line: it is secret
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(pair))
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
	return badToken(name)
}

// badToken says what is wrong with the name of any field, or nothing.
func badToken(name string) string {
	for _, r := range name {
		if !alphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return fmt.Sprintf("%q is not the name of a header field: %q is not allowed", name, r)
		}
	}
	return ""
}
