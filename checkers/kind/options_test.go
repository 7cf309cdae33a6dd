// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestTable: every kind is described as it is.
func TestTable(t *testing.T) {
	table := NewTable(Env{})
	if names := table.Names(); !slices.IsSorted(names) || len(names) == 0 {
		t.Errorf("not in order: %v", names)
	}
	for _, k := range table.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			if row, ok := table.Lookup(k.Name); !ok || row.Name != k.Name {
				t.Errorf("got %+v, %v", row, ok)
			}
			if !strings.HasSuffix(k.Doc, ".") {
				t.Errorf("%q is no sentence", k.Doc)
			}
			documented(t, k.Options)
		})
	}
	if _, ok := table.Lookup("htttp"); ok {
		t.Error("htttp was found")
	}
}

func documented(t *testing.T, options []Option) {
	t.Helper()
	for _, o := range options {
		if !strings.HasSuffix(o.Doc, ".") || o.Form == "" {
			t.Errorf("%s: %q, %q: want a form and a sentence", o.Name, o.Form, o.Doc)
		}
		if nested := o.Form == FormMap || o.Form == FormMaps; nested != (len(o.Options) > 0) {
			t.Errorf("%s: a %s with %d options", o.Name, o.Form, len(o.Options))
		}
		documented(t, o.Options)
	}
}

// TestOptionsAreDocumented: what the builder of a kind asks for is what its row
// says, neither more nor less.
func TestOptionsAreDocumented(t *testing.T) {
	for _, row := range rows() {
		t.Run(row.name, func(t *testing.T) {
			o := newOptions(nil)
			row.build(Env{}, o)
			want := optionNames(row.options, "")
			if got := o.keys(); !slices.Equal(got, want) {
				t.Errorf("asked for %q, documented %q", got, want)
			}
		})
	}
}

// optionNames lists options as options.keys does; those in lists of maps are not
// asked for where there is none.
func optionNames(all []Option, under string) []string {
	var names []string
	for _, o := range all {
		names = append(names, under+o.Name)
		if o.Form == FormMap {
			names = append(names, optionNames(o.Options, under+o.Name+".")...)
		}
	}
	slices.Sort(names)
	return names
}

type m = map[string]any

// mistakeTest gives options and wants every mistake of them, in order.
type mistakeTest struct {
	name, kind string
	options    m
	want       []string
}

func (test mistakeTest) run(t *testing.T) {
	row := lookup(t, test.kind)
	checker, err := row.New(test.options)
	if checker != nil {
		t.Error("a checker came back with the mistakes")
	}
	if got := strings.Split(errorText(err), "\n"); !slices.Equal(got, test.want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
	}
}

// What each kind takes, as a mistake lists it.
const (
	expectKeys = "body, body_regex, degraded_status, digest, headers, json, status"
	httpKeys   = "auth_file, body, body_file, expect, headers, host, max_body, method, path, port, reuse, version, weight_header"
	httpsKeys  = "auth_file, body, body_file, ca_file, cert_file, expect, expires_within, fingerprint, headers, host, key_file, max_body, method, min_version, path, port, reuse, sni, verify, version, weight_header"
	tcpKeys    = "ca_file, cert_file, expires_within, fingerprint, key_file, min_version, port, script, sni, verify"
)

// TestOptionMistakes gives options of the wrong name or type.
func TestOptionMistakes(t *testing.T) {
	for _, test := range []mistakeTest{
		{"not of tcp", "tcp", m{"path": "/"}, []string{"path: is not an option here: the options are " + tcpKeys}},
		{"misspelt", "http", m{"pth": "/"}, []string{"pth: is not an option here: the options are " + httpKeys}},
		{"of https only", "http", m{"sni": "a.example"}, []string{"sni: is not an option here: the options are " + httpKeys}},
		{"misspelt inside", "http", m{"expect": m{"code": 200}}, []string{"expect.code: is not an option here: the options are " + expectKeys}},
		{"no value", "http", m{"path": nil}, []string{"path: is empty: give a value or remove it"}},
		{"empty text", "http", m{"host": ""}, []string{"host: is empty: give a value or remove it"}},
		{"number for text", "http", m{"path": 5}, []string{"path: 5 is not a text: put it in quotes"}},
		{"text for flag", "https", m{"verify": "yes"}, []string{`verify: "yes" is neither true nor false`}},
		{"text for map", "http", m{"expect": "200"}, []string{"expect: 200 is not a map: write it as {key: value}"}},
		{"text for list", "http", m{"headers": "a"}, []string{"headers: a is not a list: write it as [...]"}},
		{"all at once", "https", m{"method": "PUT /", "path": "x", "verify": 1, "zzz": 1, "aaa": 1, "expect": m{"status": []any{"x"}, "y": 2}}, []string{
			`method: "PUT /" is not a method for checks: use GET, HEAD, POST or another in capital letters`,
			`path: "x" does not begin with a slash: write it as /healthz`,
			"verify: 1 is neither true nor false",
			"aaa: is not an option here: the options are " + httpsKeys,
			"zzz: is not an option here: the options are " + httpsKeys,
			`expect.status[0]: "x" is not a status: write it as "200" or "200-299"`,
			"expect.y: is not an option here: the options are " + expectKeys,
		}},
	} {
		t.Run(test.name, test.run)
	}
}

// TestHTTPOptionMistakes gives values that are wrong for HTTP and TLS.
func TestHTTPOptionMistakes(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []mistakeTest{
		{"relative path", "http", m{"path": "healthz"}, []string{`path: "healthz" does not begin with a slash: write it as /healthz`}},
		{"space in path", "http", m{"path": "/a b"}, []string{`path: "/a b" holds a space or a #: write them as %20 and %23`}},
		{"bad escape in path", "http", m{"path": "/%zz"}, []string{`path: "/%zz" is not a path of a URL: parse "http://target/%zz": invalid URL escape "%zz"`}},
		{"method", "http", m{"method": "get"}, []string{`method: "get" is not a method for checks: use GET, HEAD, POST or another in capital letters`}},
		{"host with scheme", "http", m{"host": "http://a"}, []string{`host: "//a" is not a port: they go from 1 to 65535`}},
		{"host with port", "http", m{"host": "a.example:99999"}, []string{`host: "99999" is not a port: they go from 1 to 65535`}},
		{"host in another script", "http", m{"host": "bücher.example"}, []string{`host: "bücher.example" is not the name of a host: 'ü' is not allowed (a name in another script goes in its xn-- form)`}},
		{"host without end", "http", m{"host": strings.Repeat("a", 254)}, []string{`host: "` + strings.Repeat("a", 254) + `" is not the name of a host: it has 254 bytes, and 1 to 253 are right`}},
		{"address as SNI", "https", m{"sni": "10.0.0.1"}, []string{`sni: "10.0.0.1" is an address: a name belongs here`}},
		{"header that is ours", "http", m{"headers": []any{m{"name": "connection", "value": "close"}}}, []string{"headers[0].name: Connection is the check's own to set: remove it"}},
		{"host as header", "http", m{"headers": []any{m{"name": "host", "value": "a"}}}, []string{"headers[0].name: is set by the option host"}},
		{"header without a value", "http", m{"headers": []any{m{"name": "A", "value": "1"}, m{"name": "B"}}}, []string{"headers[1].value: is missing"}},
		{"header name", "http", m{"headers": []any{m{"name": "a b", "value": "1"}}}, []string{`headers[0].name: "a b" is not the name of a header field: ' ' is not allowed`}},
		{"header smuggling", "http", m{"headers": []any{m{"name": "a", "value": "1\r\nb: 2"}}}, []string{`headers[0].value: holds a control character`}},
		{"header not a map", "http", m{"headers": []any{"a: b"}}, []string{"headers[0]: a: b is not a map: write it as {key: value}"}},
		{"status scalar", "http", m{"expect": m{"status": 200}}, []string{"expect.status: 200 is not a list: write it as [...]"}},
		{"status empty list", "http", m{"expect": m{"status": []any{}}}, []string{"expect.status: is an empty list: give at least one, or remove it"}},
		{"status words", "http", m{"expect": m{"status": []any{"200", "ok"}}}, []string{`expect.status[1]: "ok" is not a status: write it as "200" or "200-299"`}},
		{"status backwards", "http", m{"expect": m{"status": []any{"299-200"}}}, []string{`expect.status[0]: "299-200" is not a range of statuses: they go from 100 to 599, the lower one first`}},
		{"status beyond", "http", m{"expect": m{"status": []any{600}}}, []string{`expect.status[0]: "600" is not a range of statuses: they go from 100 to 599, the lower one first`}},
		{"body of HEAD", "http", m{"method": "HEAD", "expect": m{"body": "OK"}}, []string{"expect.body: cannot be expected of HEAD, whose answer has no body: use method: GET"}},
		{"body beyond the limit", "http", m{"expect": m{"body": strings.Repeat("a", maxBody+1)}}, []string{"expect.body: is longer than the 65536 bytes that are read"}},
		{"no such file", "https", m{"ca_file": "/no/such.pem"}, []string{"ca_file: open /no/such.pem: no such file or directory"}},
		{"not PEM", "https", m{"ca_file": notPEM}, []string{"ca_file: " + notPEM + " holds no certificate in PEM form"}},
		{"file without use", "https", m{"ca_file": notPEM, "verify": false}, []string{"ca_file: has no effect with verify: false: remove one of the two"}},
	} {
		t.Run(test.name, test.run)
	}
}

// TestOptionErrorPath proves that the configuration can find the line of each
// mistake.
func TestOptionErrorPath(t *testing.T) {
	row := lookup(t, "http")
	_, err := row.New(m{"headers": []any{m{"name": "A", "value": "1"}, m{"name": "B", "valu": "2"}}, "expect": m{"status": []any{"?"}}})
	var paths [][]string
	collect(err, func(e *OptionError) { paths = append(paths, e.Path) })
	want := [][]string{{"headers", "1", "value"}, {"headers", "1", "valu"}, {"expect", "status", "0"}}
	if !reflect.DeepEqual(paths, want) {
		t.Errorf("got %q, want %q", paths, want)
	}
}

// collect walks what errors.Join made.
func collect(err error, found func(*OptionError)) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, inner := range joined.Unwrap() {
			collect(inner, found)
		}
		return
	}
	var mistake *OptionError
	if errors.As(err, &mistake) {
		found(mistake)
	}
}

// TestOptionsTaken reads back what good options made.
func TestOptionsTaken(t *testing.T) {
	row := lookup(t, "https")
	checker, err := row.New(m{
		"path": "//a%2Fb?q=1&r=", "method": "HEAD", "host": "shop.example:8443", "sni": "origin_1.example", "verify": false,
		"headers": []any{m{"name": "x-a", "value": "1"}, m{"name": "X-A", "value": "2"}, m{"name": "user-agent", "value": "probe"}},
		"expect":  m{"status": []any{"200-299", 401, "503"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := checker.(*httpCheck)
	if got, want := h.url.RequestURI(), "//a%2Fb?q=1&r="; got != want {
		t.Errorf("path: got %s, want %s", got, want)
	}
	if h.host != "shop.example:8443" || h.secure.config.ServerName != "origin_1.example" || !h.secure.config.InsecureSkipVerify {
		t.Errorf("host %s, server name %s, verification off: %v", h.host, h.secure.config.ServerName, h.secure.config.InsecureSkipVerify)
	}
	if got, want := h.expect.status.String(), "200-299, 401, 503"; got != want {
		t.Errorf("status: got %s, want %s", got, want)
	}
	for status, want := range map[int]bool{199: false, 200: true, 299: true, 300: false, 401: true, 503: true, 504: false} {
		if h.expect.status.contain(status) != want {
			t.Errorf("status %d: want %v", status, want)
		}
	}
	want := map[string][]string{"X-A": {"1", "2"}, "User-Agent": {"probe"}}
	if !reflect.DeepEqual(map[string][]string(h.header), want) {
		t.Errorf("header: got %v, want %v", h.header, want)
	}
}

func TestHostOption(t *testing.T) {
	tests := []struct{ name, host, wantHost, wantServer string }{
		{"name", "shop.example", "shop.example", "shop.example"},
		{"name and port", "shop.example:8443", "shop.example:8443", "shop.example"},
		{"IPv4", "192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"IPv4 and port", "192.0.2.1:81", "192.0.2.1:81", "192.0.2.1"},
		{"IPv6", "2001:db8::1", "[2001:db8::1]", "2001:db8::1"},
		{"IPv6 and port", "[2001:db8::1]:81", "[2001:db8::1]:81", "2001:db8::1"},
		{"IPv6 in brackets", "[2001:db8::1]", "[2001:db8::1]", "2001:db8::1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := must(t, "https", m{"host": test.host}).(*httpCheck)
			if h.host != test.wantHost || h.secure.config.ServerName != test.wantServer || h.secure.config.InsecureSkipVerify {
				t.Errorf("got %s, %s, %v; want %s, %s, verified", h.host, h.secure.config.ServerName, h.secure.config.InsecureSkipVerify, test.wantHost, test.wantServer)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}
