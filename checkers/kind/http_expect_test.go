// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"crypto/md5"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// serveHTTP runs a handler on loopback until the test ends.
func serveHTTP(t testing.TB, handler http.HandlerFunc) netip.AddrPort {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String())
}

func TestHTTPExpectations(t *testing.T) {
	const json = `{"status": "ok", "queue": 7, "parts": [{"up": true}, {"up": false}]}`
	server := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("X-Role", "primary")
		w.Header().Add("X-Role", "writer")
		w.Header().Set("X-Weight", r.URL.Query().Get("weight"))
		if r.URL.Path == "/busy" {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		_, _ = io.WriteString(w, json)
	})
	expect := func(e m) m { return m{"expect": e} }
	pass, degraded, fail := checkers.OutcomePass, checkers.OutcomeDegraded, checkers.OutcomeFail
	for _, test := range []struct {
		name    string
		options m
		outcome checkers.Outcome
		message string
	}{
		{"regex", expect(m{"body_regex": `"queue": \d,`}), pass, "status 200"},
		{"other regex", expect(m{"body_regex": "^ok$"}), fail, `status 200, but the body does not match "^ok$" (68 bytes read)`},
		{"JSON", expect(m{"json": `.status == "ok" and .queue < 10`}), pass, "status 200"},
		{"JSON of parts", expect(m{"json": `all(.parts[]; .up)`}), fail, "status 200, but all(.parts[]; .up) gives false, wanted true"},
		{"JSON not true", expect(m{"json": `.status`}), fail, `status 200, but .status gives "ok", wanted true`},
		{"JSON without a value", expect(m{"json": `empty`}), fail, "status 200, but empty gives nothing, wanted true"},
		{"JSON error", expect(m{"json": `.queue.length`}), fail, "status 200, but .queue.length: expected an object but got: number (7)"},
		{"JSON cut off", m{"max_body": 67, "expect": m{"json": ".status"}}, fail, "status 200, but the body is longer than max_body, 67 bytes"},
		{"JSON just whole", m{"max_body": 68, "expect": m{"json": ".queue == 7"}}, pass, "status 200"},
		{"digest", expect(m{"digest": fmt.Sprintf("%x", md5.Sum([]byte(json)))}), pass, "status 200"},
		{"other digest", expect(m{"digest": strings.Repeat("0", 32)}), fail, fmt.Sprintf("status 200, but the body's digest is %x, wanted %032d", md5.Sum([]byte(json)), 0)},
		{"digest cut off", m{"max_body": 67, "expect": m{"digest": strings.Repeat("0", 32)}}, fail, "status 200, but the body is longer than max_body, 67 bytes"},
		{"text cut off", m{"max_body": 10, "expect": m{"body": "queue"}}, fail, `status 200, but "queue" is not in the body (10 bytes read)`},
		{"header", expect(m{"headers": []any{m{"name": "x-role", "value": "writer"}, m{"name": "X-Role", "regex": "^pri"}, m{"name": "date"}}}), pass, "status 200"},
		{"header missing", expect(m{"headers": []any{m{"name": "X-None"}}}), fail, "status 200, but there is no header X-None"},
		{"other header", expect(m{"headers": []any{m{"name": "X-Role", "value": "replica"}}}), fail, `status 200, but the header X-Role is "primary", wanted "replica"`},
		{"header not matched", expect(m{"headers": []any{m{"name": "X-Role", "regex": "^r"}}}), fail, `status 200, but the header X-Role is "primary", which does not match "^r"`},
		{"degraded", m{"path": "/busy", "expect": m{"degraded_status": []any{429}, "body": "not there"}}, degraded, "status 429 means degraded"},
		{"not degraded", expect(m{"degraded_status": []any{429}}), pass, "status 200"},
		{"weight", m{"path": "/?weight=80", "weight_header": "x-weight"}, pass, "status 200, weight 80 %"},
		{"weight in percent", m{"path": "/?weight=120%25", "weight_header": "X-Weight"}, pass, "status 200, weight 120 %"},
		{"weight none", m{"path": "/?weight=0", "weight_header": "X-Weight"}, pass, "status 200, weight 0 %"},
		{"weight not given", m{"weight_header": "X-Weight"}, pass, "status 200"},
		{"weight beyond", m{"path": "/?weight=1001", "weight_header": "X-Weight"}, fail, `status 200, but the header X-Weight is "1001", not a percentage from 0 to 1000`},
		{"weight in words", m{"path": "/?weight=much", "weight_header": "X-Weight"}, fail, `status 200, but the header X-Weight is "much", not a percentage from 0 to 1000`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := checkFor(t, 10*time.Second, must(t, "http", test.options), server)
			if got.Outcome != test.outcome || !strings.HasSuffix(got.Message, ": "+test.message) {
				t.Errorf("got %+v\nwant %s, %q", got, test.outcome, test.message)
			}
			if test.outcome == fail && got.Class != checkers.ClassContent {
				t.Errorf("class %s", got.Class)
			}
			percent, hint := 0, checkers.HintNone
			if _, err := fmt.Sscanf(test.message, "status 200, weight %d %%", &percent); err == nil && percent == 0 {
				hint = checkers.HintDrain
			}
			if got.Percent != percent || got.Hint != hint {
				t.Errorf("%d %%, hint %s", got.Percent, got.Hint)
			}
		})
	}
}

// TestHTTPEndlessExpression: an expression of jq may run for ever, a check not.
func TestHTTPEndlessExpression(t *testing.T) {
	server := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	got := checkFor(t, stallLimit, must(t, "http", m{"expect": m{"json": "last(range(infinite))"}}), server)
	wantResult(t, got, checkers.ClassStalled, fmt.Sprintf("GET http://%s/: no result of expect.json within LIMIT", server))
}

// TestHTTPPayload reads a request with all that may be in it.
func TestHTTPPayload(t *testing.T) {
	got := make(chan string, 1)
	server := serve(t, func(conn net.Conn) {
		all := make([]byte, 4096)
		n, _ := io.ReadAtLeast(conn, all, 150)
		got <- string(all[:n])
		_, _ = io.WriteString(conn, okHeader+"0\r\n\r\n")
	})
	for name, options := range map[string]m{
		"text": {"body": `{"a": 1}`},
		"file": {"body_file": writeFile(t, "file", `{"a": 1}`)},
	} {
		t.Run(name, func(t *testing.T) {
			options["method"], options["auth_file"] = "POST", writeFile(t, "file", "shop:a:b\n")
			options["headers"] = []any{m{"name": "Content-Type", "value": "application/json"}}
			wantResult(t, checkFor(t, 10*time.Second, must(t, "http", options), server), checkers.ClassNone, fmt.Sprintf("POST http://%s/: status 200", server))
			want := fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nUser-Agent: maitred\r\nConnection: close\r\nContent-Length: 8\r\n"+
				"Authorization: Basic c2hvcDphOmI=\r\nContent-Type: application/json\r\n\r\n{\"a\": 1}", server)
			if got := <-got; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestHTTPExpectationMistakes(t *testing.T) {
	two, none := writeFile(t, "file", "a:b\nc:d\n"), writeFile(t, "file", "secret\n")
	good := writeFile(t, "file", "a:b")
	size := " is not a size from 1 to 16777216 bytes: write it as 4096, 64KiB or 1MiB"
	for _, test := range []mistakeTest{
		{"JSON", "http", m{"expect": m{"json": ".a =="}}, []string{`expect.json: ".a ==" is not an expression of jq: unexpected EOF`}},
		{"JSON function", "http", m{"expect": m{"json": "nope"}}, []string{`expect.json: "nope": function not defined: nope/0`}},
		{"regex", "http", m{"expect": m{"body_regex": "("}}, []string{"expect.body_regex: \"(\" is not a regular expression: error parsing regexp: missing closing ): `(`"}},
		{"digest", "http", m{"expect": m{"digest": "abc"}}, []string{`expect.digest: "abc" is not an MD5: write its 16 bytes in hex`}},
		{"JSON of HEAD", "http", m{"method": "HEAD", "expect": m{"json": ".a"}}, []string{"expect.json: cannot be expected of HEAD, whose answer has no body: use method: GET"}},
		{"header twice", "http", m{"expect": m{"headers": []any{m{"name": "A", "value": "1", "regex": "2"}}}}, []string{"expect.headers[0].regex: has value beside it: give one of the two"}},
		{"header name", "http", m{"expect": m{"headers": []any{m{"name": "a b"}}}}, []string{`expect.headers[0].name: "a b" is not the name of a header field: ' ' is not allowed`}},
		{"weight's name", "http", m{"weight_header": "a:"}, []string{`weight_header: "a:" is not the name of a header field: ':' is not allowed`}},
		{"no size", "http", m{"max_body": "much"}, []string{"max_body: much" + size}},
		{"zero size", "http", m{"max_body": 0}, []string{"max_body: 0" + size}},
		{"large size", "http", m{"max_body": "17MiB"}, []string{"max_body: 17MiB" + size}},
		{"huge size", "http", m{"max_body": "9223372036854775807KiB"}, []string{"max_body: 9223372036854775807KiB" + size}},
		{"two bodies", "http", m{"body": "a", "body_file": good}, []string{"body_file: and body exclude one another: remove one of the two"}},
		{"no file", "http", m{"body_file": "/no/such"}, []string{"body_file: open /no/such: no such file or directory"}},
		{"password without user", "http", m{"auth_file": none}, []string{"auth_file: " + none + " does not hold one line user:password"}},
		{"two passwords", "http", m{"auth_file": two}, []string{"auth_file: " + two + " does not hold one line user:password"}},
		{"authorized twice", "http", m{"auth_file": good, "headers": []any{m{"name": "authorization", "value": "x"}}}, []string{"auth_file: and a header Authorization exclude one another: remove one of the two"}},
		{"version", "http", m{"version": "h2"}, []string{`version: "h2" is none of http/1.1, h2c`}},
		{"version inside TLS", "https", m{"version": "h2c", "verify": false}, []string{`version: "h2c" is none of http/1.1, h2`}},
		{"degraded", "http", m{"expect": m{"degraded_status": []any{"x"}}}, []string{`expect.degraded_status[0]: "x" is not a status: write it as "200" or "200-299"`}},
	} {
		t.Run(test.name, test.run)
	}
}

func TestSize(t *testing.T) {
	for value, want := range map[any]int{4096: 4096, "4096": 4096, "64KiB": 64 << 10, "2 MiB": 2 << 20} {
		o := newOptions(m{"a": value})
		if got := o.size("a", 1, 1, longestBody); got != want || o.err() != nil {
			t.Errorf("%v: got %d, %v", value, got, o.err())
		}
	}
}
