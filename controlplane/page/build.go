// SPDX-License-Identifier: Apache-2.0

package page

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Spec says what a sorry page is to be. Protocol.Takes tells which of the fields
// count for which protocol.
type Spec struct {
	Protocol    Protocol // empty: HTTP
	Status      int      // 200 to 599 without 204, 205 and 304, which have no body
	Reason      string
	ContentType string // empty: no such line
	Body        []byte
	RetryAfter  time.Duration // whole seconds; zero: no such line
	Headers     []Header      // further lines, in this order
	Compress    bool          // offer the body in codings that make it shorter
	Burst       int           // segments that are sent at once, 1 to MaxBurst; zero: as the length asks
	Hosts       []HostSpec    // what some hosts have instead
	Text        string        // one sentence for people
	Bytes       []byte        // of a protocol that is not known here
}

// HostSpec is the page of some hosts.
type HostSpec struct {
	Hosts []string // names or addresses, without ports
	Spec  Spec     // of HTTP; Burst and Hosts do not count
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

// Build makes the image of a page. All mistakes are reported at once, as
// FieldErrors in an error made by errors.Join.
func Build(s Spec) (Image, error) {
	p, ok := s.Protocol.lookup()
	if !ok {
		return Image{}, &FieldError{"protocol", fmt.Sprintf("%q is not a protocol", s.Protocol)}
	}
	if p.name == HTTP {
		return buildHTTP(s)
	}
	response, head, err := p.make(s)
	if err != nil {
		return Image{}, err
	}
	if len(response) > p.most {
		return Image{}, &FieldError{p.speaks(), fmt.Sprintf(
			"makes %d bytes of %s, at most %d are possible: shorten it by %d",
			len(response), p.name, p.most, len(response)-p.most)}
	}
	return newImage(response, head, p.speech).sealed(), nil
}

// badText tells what keeps s from standing in a line. A line break would let it
// end the line and begin another.
func badText(s string) string {
	for i := range len(s) {
		if s[i] > 0x7f {
			return "has a character outside ASCII, which does not fit there"
		}
	}
	return badUnicode(s)
}

// badUnicode is badText where any character may stand.
func badUnicode(s string) string {
	for _, c := range s {
		switch {
		case c == '\r' || c == '\n':
			return "has a line break, which would end the line"
		case c < ' ' && c != '\t' || c == 0x7f:
			return fmt.Sprintf("has the control character %s", strconv.QuoteRune(c))
		case c == '\uFFFD':
			return "is not UTF-8"
		}
	}
	if s != strings.TrimSpace(s) {
		return "begins or ends with a space"
	}
	return ""
}

// under puts the fields of an error below another field.
func under(field string, err error) error {
	var out []error
	for _, err := range each(err) {
		if inner, ok := errors.AsType[*FieldError](err); ok {
			err = &FieldError{field + "." + inner.Field, inner.Problem}
		}
		out = append(out, err)
	}
	return errors.Join(out...)
}

// each takes apart what errors.Join put together.
func each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return []error{err}
	}
	return joined.Unwrap()
}
