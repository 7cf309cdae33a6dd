// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// MaxVariants is the most variants that a page may have: the segments of each
// end at offsets of its own, and those repeat every 32 bytes.
const MaxVariants = 31

// MaxBurst is the most segments that are sent at once (RFC 6928), and what a page
// has that takes more than one.
const MaxBurst = 10

// buildHTTP makes an HTTP/1.1 response (RFC 9112) that ends with the connection
// and that nobody may store, with all of its variants: those of hosts first, for
// whoever gets one has no other; within a host the shortest coding first.
func buildHTTP(s Spec) (Image, error) {
	var errs []error
	variants, taken := []Variant(nil), map[string]int{}
	for i, h := range s.Hosts {
		field := fmt.Sprintf("variants[%d]", i)
		h.Spec.Compress = s.Compress
		own, err := render(h.Spec)
		errs = append(errs, under(field, err), checkHosts(field+".hosts", h.Hosts, i, taken))
		own = append(own[1:], own[0]) // who allows no coding gets it as it is
		for _, host := range h.Hosts {
			for _, v := range own {
				v.Host = strings.ToLower(host)
				variants = append(variants, v)
			}
		}
	}
	forms, err := render(s)
	errs = append(errs, err)
	if s.Burst < 0 || s.Burst > MaxBurst {
		errs = append(errs, &FieldError{"burst", fmt.Sprintf("%d is out of range: 1 to %d", s.Burst, MaxBurst)})
	}
	variants = append(append(variants, forms[1:]...), tlsVariant())
	if n := len(variants); n > MaxVariants {
		errs = append(errs, &FieldError{"variants", fmt.Sprintf(
			"make %d with the codings of each and the one for TLS, at most %d are possible: name fewer hosts, or say compress: off",
			n, MaxVariants)})
	}
	if err := errors.Join(errs...); err != nil {
		return Image{}, err
	}
	image := forms[0].Image
	image.Variants = variants
	return image.burst(s.Burst).sealed(), nil
}

// tlsVariant tells a browser at once that there is no TLS to be had: it would take
// the page itself for a broken record. It is the same in all pages.
func tlsVariant() Variant {
	image := newImage(alertsOf32(), 0, SpeechAny)
	image.Burst = 1
	return Variant{Opening: OpeningTLS, Image: image.sealed()}
}

// burst sets how many segments of the page and its variants are sent at once;
// zero: all that MaxBurst allows where there is more than one.
func (m Image) burst(n int) Image {
	if n == 0 {
		n = 1
		for _, length := range m.lengths() {
			if length > largestSegment {
				n = MaxBurst
			}
		}
	}
	m.Burst = n
	for i := range m.Variants {
		if m.Variants[i].Opening == OpeningTLS {
			continue
		}
		m.Variants[i].Image.Burst = n
		m.Variants[i].Image = m.Variants[i].Image.sealed()
	}
	return m
}

func (s Spec) head(encoding ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", s.Status, s.Reason)
	if s.ContentType != "" {
		fmt.Fprintf(&b, "Content-Type: %s\r\n", s.ContentType)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n", len(s.Body))
	for _, line := range encoding {
		fmt.Fprintf(&b, "%s\r\n", line)
	}
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

// check reports mistakes in what HTTP/1.1 and HTTP/2 have in common.
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
