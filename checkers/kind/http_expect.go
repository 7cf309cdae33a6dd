// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"crypto/md5" // keepalived's digest, which guards nothing
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/maitred-lb/maitred/checkers"
)

// What of a body is read, in bytes: by default, and at most. What is longer is
// searched as far as this.
const (
	maxBody     = 64 << 10
	longestBody = 16 << 20
)

// expectation is what an answer must be like.
type expectation struct {
	status   ranges
	degraded ranges // statuses of a server that should get less
	headers  []headerMatch
	body     []byte // that the body must contain
	pattern  *regexp.Regexp
	json     *gojq.Code
	jsonText string
	digest   []byte // MD5 of the whole body
	weight   string // name of the header field that holds a percentage
	maxBody  int
}

// headerMatch is a field that an answer's header must have.
type headerMatch struct {
	name    string
	value   string         // one of its values; empty: any
	pattern *regexp.Regexp // nil: any
}

// takes tells whether a status is one to read on for.
func (e *expectation) takes(status int) bool {
	return e.status.contain(status) || e.degraded.contain(status)
}

// judge judges an answer with a status that takes allows. The body is one byte
// longer than may be read where there is more.
func (e *expectation) judge(ctx context.Context, a attempt, answer *http.Response, body []byte) checkers.Result {
	if e.degraded.contain(answer.StatusCode) {
		return a.degraded(0, "status %d means degraded", answer.StatusCode)
	}
	whole := len(body) <= e.maxBody
	body = body[:min(len(body), e.maxBody)]
	failed := func(format string, args ...any) checkers.Result {
		return a.fail(checkers.ClassContent, "status %d, but "+format, append([]any{answer.StatusCode}, args...)...)
	}
	for _, field := range e.headers {
		if problem := field.problem(answer.Header); problem != "" {
			return failed("%s", problem)
		}
	}
	if !bytes.Contains(body, e.body) {
		return failed("%q is not in the body (%d bytes read)", e.body, len(body))
	}
	if e.pattern != nil && !e.pattern.Match(body) {
		return failed("the body does not match %q (%d bytes read)", e.pattern, len(body))
	}
	if !whole && (e.digest != nil || e.json != nil) {
		return failed("the body is longer than max_body, %d bytes", e.maxBody)
	}
	if sum := md5.Sum(body); e.digest != nil && !bytes.Equal(sum[:], e.digest) {
		return failed("the body's digest is %x, wanted %x", sum, e.digest)
	}
	if e.json != nil {
		switch problem, err := e.query(ctx, body); {
		case err != nil:
			return a.broken(ctx, err, checkers.ClassContent, "no result of expect.json")
		case problem != "":
			return failed("%s", problem)
		}
	}
	return e.weigh(a, answer)
}

// problem says how a header is not as expected, or nothing. Field lines of one
// name are alternatives.
func (f headerMatch) problem(header http.Header) string {
	values := header.Values(f.name)
	good := func(value string) bool {
		return (f.value == "" || value == f.value) && (f.pattern == nil || f.pattern.MatchString(value))
	}
	switch {
	case len(values) == 0:
		return fmt.Sprintf("there is no header %s", f.name)
	case slices.ContainsFunc(values, good):
		return ""
	case f.pattern != nil:
		return fmt.Sprintf("the header %s is %q, which does not match %q", f.name, values[0], f.pattern)
	}
	return fmt.Sprintf("the header %s is %q, wanted %q", f.name, values[0], f.value)
}

// query asks the body for the value of the expression, which must be true. An
// error is that of ctx.
func (e *expectation) query(ctx context.Context, body []byte) (problem string, err error) {
	var input any
	if err := json.Unmarshal(body, &input); err != nil {
		return fmt.Sprintf("the body is not JSON: %v", err), nil
	}
	value, ok := e.json.RunWithContext(ctx, input).Next()
	if failure, is := value.(error); is {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return fmt.Sprintf("%s: %v", e.jsonText, failure), nil
	}
	switch {
	case !ok:
		return fmt.Sprintf("%s gives nothing, wanted true", e.jsonText), nil
	case value != true:
		return fmt.Sprintf("%s gives %s, wanted true", e.jsonText, gojq.Preview(value)), nil
	}
	return "", nil
}

// weigh is a pass with the weight that the answer asks for.
func (e *expectation) weigh(a attempt, answer *http.Response) checkers.Result {
	text := strings.TrimSpace(answer.Header.Get(e.weight))
	if e.weight == "" || text == "" {
		return a.pass("status %d", answer.StatusCode)
	}
	percent, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || percent < 0 || percent > checkers.MaxPercent {
		return a.fail(checkers.ClassContent, "status %d, but the header %s is %q, not a percentage from 0 to %d", answer.StatusCode, e.weight, text, checkers.MaxPercent)
	}
	result := a.pass("status %d, weight %d %%", answer.StatusCode, percent)
	if result.Percent = percent; percent == 0 {
		result.Hint = checkers.HintDrain
	}
	return result
}

// expectOptions describes the option expect.
func expectOptions() Option {
	return Option{Name: "expect", Form: FormMap, Doc: "What the answer must be like.", Options: []Option{
		{Name: "status", Form: FormList, Default: `["200-299"]`, Doc: "The statuses that pass: single ones and ranges."},
		{Name: "degraded_status", Form: FormList, Doc: "Statuses of a server that should get less, whatever else is in the answer: [429]."},
		{Name: "headers", Form: FormMaps, Doc: "Fields that the answer's header must have.", Options: []Option{
			{Name: "name", Form: FormText, Doc: "The field's name."},
			{Name: "value", Form: FormText, Doc: "Its value; without it and regex any will do."},
			{Name: "regex", Form: FormText, Doc: "A regular expression (Go's package regexp) that its value must match."},
		}},
		{Name: "body", Form: FormText, Doc: "A text that the body must contain, within max_body."},
		{Name: "body_regex", Form: FormText, Doc: "A regular expression (Go's package regexp) that the body must match, within max_body."},
		{Name: "json", Form: FormText, Doc: `An expression in the language of jq that must give true for the body: .status == "ok" and .queue < 100.`},
		{Name: "digest", Form: FormText, Doc: "The MD5 of the whole body in hex, as keepalived's genhash prints it."},
	}}
}

// readExpectation reads the option expect and those beside it.
func readExpectation(o *options, method string) expectation {
	expect := o.in("expect")
	e := expectation{
		maxBody:  o.size("max_body", maxBody, 1, longestBody),
		weight:   readFieldName(o, "weight_header", o.text("weight_header", "")),
		status:   readStatus(expect, "status", ranges{{200, 299}}),
		degraded: readStatus(expect, "degraded_status", nil),
		headers:  readHeaderMatches(expect),
		pattern:  expect.pattern("body_regex"),
		jsonText: expect.text("json", ""),
		digest:   readDigest(expect),
	}
	e.body = readBody(expect, e.maxBody)
	e.json = readJSON(expect, e.jsonText)
	for _, key := range []string{"body", "body_regex", "json", "digest"} {
		if _, ok := expect.values[key]; ok && method == http.MethodHead {
			expect.reject([]string{key}, "cannot be expected of HEAD, whose answer has no body: use method: GET")
		}
	}
	return e
}

func readHeaderMatches(expect *options) []headerMatch {
	var all []headerMatch
	for _, o := range expect.each("headers") {
		f := headerMatch{
			name:    readFieldName(o, "name", o.need("name")),
			value:   o.text("value", ""),
			pattern: o.pattern("regex"),
		}
		if f.value != "" && f.pattern != nil {
			o.reject([]string{"regex"}, "has value beside it: give one of the two")
		}
		all = append(all, f)
	}
	return all
}

func readFieldName(o *options, key, name string) string {
	if problem := badToken(name); problem != "" {
		o.reject([]string{key}, "%s", problem)
	}
	return http.CanonicalHeaderKey(name)
}

func readJSON(expect *options, text string) *gojq.Code {
	if text == "" {
		return nil
	}
	query, err := gojq.Parse(text)
	if err != nil {
		expect.reject([]string{"json"}, "%q is not an expression of jq: %v", text, err)
		return nil
	}
	code, err := gojq.Compile(query)
	if err != nil {
		expect.reject([]string{"json"}, "%q: %v", text, err)
		return nil
	}
	return code
}

func readDigest(expect *options) []byte {
	text := expect.text("digest", "")
	if text == "" {
		return nil
	}
	digest, err := hex.DecodeString(text)
	if err != nil || len(digest) != md5.Size {
		expect.reject([]string{"digest"}, "%q is not an MD5: write its %d bytes in hex", text, md5.Size)
		return nil
	}
	return digest
}

func readBody(expect *options, most int) []byte {
	body := expect.text("body", "")
	if len(body) > most {
		expect.reject([]string{"body"}, "is longer than the %d bytes that are read", most)
	}
	return []byte(body)
}
