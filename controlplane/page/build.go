// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Spec says what a sorry page is to be.
type Spec struct {
	Status      int // 200 to 599 without 204, 205 and 304, which have no body
	Reason      string
	ContentType string // empty: no such line
	Body        []byte
	RetryAfter  time.Duration // whole seconds; zero: no such line
	Headers     []Header      // further lines, in this order
}

// Header is one line of the response's header.
type Header struct{ Name, Value string }

// FieldError is a mistake in one field of a Spec.
type FieldError struct {
	Field   string // as the configuration spells it, for example "headers[1].name"
	Problem string // what is wrong and what would be right
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Build makes the image of an HTTP/1.1 response (RFC 9112) that ends with the
// connection and that nobody may store. All mistakes are reported at once, as
// FieldErrors in an error made by errors.Join.
func Build(s Spec) (Image, error) {
	if err := s.check(); err != nil {
		return Image{}, err
	}
	head := s.head()
	if len(head) > MaxHead {
		return Image{}, &FieldError{"headers", fmt.Sprintf(
			"status line and header take %d bytes, at most %d are possible", len(head), MaxHead)}
	}
	if total := len(head) + len(s.Body); total > MaxLength {
		return Image{}, &FieldError{"body", fmt.Sprintf(
			"header (%d bytes) and body (%d bytes) take %d bytes, at most %d are possible: shorten the body by %d",
			len(head), len(s.Body), total, MaxLength, total-MaxLength)}
	}
	return newImage(append(head, s.Body...), len(head)), nil
}

func (s Spec) head() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", s.Status, s.Reason)
	if s.ContentType != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", s.ContentType)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n", len(s.Body))
	b.WriteString("Connection: close\r\nCache-Control: no-store\r\n")
	if s.RetryAfter > 0 {
		fmt.Fprintf(&b, "Retry-After: %d\r\n", s.RetryAfter/time.Second)
	}
	for _, h := range s.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func (s Spec) check() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	switch {
	case s.Status < 100 || s.Status > 599:
		bad("status", "%d is not an HTTP status: 200 to 599", s.Status)
	case s.Status < 200 || s.Status == http.StatusNoContent ||
		s.Status == http.StatusResetContent || s.Status == http.StatusNotModified:
		bad("status", "a response with status %d has no body: use 502 or 503", s.Status)
	}
	if problem := badText(s.Reason); problem != "" {
		bad("reason", "%s", problem)
	}
	if problem := badText(s.ContentType); problem != "" {
		bad("content_type", "%s", problem)
	}
	if s.RetryAfter < 0 || s.RetryAfter%time.Second != 0 {
		bad("retry_after", "%v is not a number of whole seconds", s.RetryAfter)
	}
	for i, h := range s.Headers {
		if problem := badName(h.Name); problem != "" {
			bad(fmt.Sprintf("headers[%d].name", i), "%s", problem)
		}
		if problem := badText(h.Value); problem != "" {
			bad(fmt.Sprintf("headers[%d].value", i), "%s", problem)
		}
	}
	return errors.Join(errs...)
}

// badText tells what keeps s from standing in a header line. A line break would
// let it end the line and begin another.
func badText(s string) string {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\r' || c == '\n':
			return "has a line break, which would end the header line"
		case c < ' ' && c != '\t' || c == 0x7f:
			return fmt.Sprintf("has the control character %s", strconv.QuoteRune(rune(c)))
		case c > 0x7f:
			return "has a character outside ASCII, which a header cannot carry"
		}
	}
	if s != strings.TrimSpace(s) {
		return "begins or ends with a space"
	}
	return ""
}

// badName tells what keeps name from being a header's name of the operator's
// own.
func badName(name string) string {
	if name == "" {
		return "is missing"
	}
	for i := range len(name) {
		if !tokenChar(name[i]) {
			return fmt.Sprintf("%q is not a header name: letters, digits and !#$%%&'*+-.^_`|~", name)
		}
	}
	switch http.CanonicalHeaderKey(name) {
	case "Content-Type":
		return "use content_type for Content-Type"
	case "Retry-After":
		return "use retry_after for Retry-After"
	case "Content-Length", "Connection", "Cache-Control", "Transfer-Encoding", "Trailer", "Upgrade", "Keep-Alive":
		return fmt.Sprintf("%s is not yours to set: every page is whole, closes its connection and may not be stored", name)
	}
	return ""
}

// tokenChar is tchar of RFC 9110, section 5.6.2.
func tokenChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
