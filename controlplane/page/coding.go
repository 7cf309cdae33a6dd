// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/andybalholm/brotli"
)

// render makes the forms of a response: as it is, and then in the codings that
// are worth it, the shortest first. It has one at least.
func render(s Spec) ([]Variant, error) {
	forms := []Variant{{}}
	if err := s.check(); err != nil {
		return forms, err
	}
	plain := append(s.head(), s.Body...)
	if err := s.fits(len(plain) - len(s.Body)); err != nil {
		return forms, err
	}
	forms[0].Image = newImage(plain, len(plain)-len(s.Body), SpeechHTTP)
	if !s.Compress || Segments(len(plain)) < 2 || s.has("Content-Encoding") {
		return forms, nil
	}
	const vary = "Vary: Accept-Encoding" // RFC 9110, 12.5.5
	varied := append(s.head(vary), s.Body...)
	if len(varied) > MaxLength || len(varied)-len(s.Body) > MaxHead {
		return forms, nil
	}
	for _, coding := range []Coding{CodingBrotli, CodingGzip} {
		coded := s
		coded.Body = encode(coding, s.Body)
		response := coded.head("Content-Encoding: "+string(coding), vary)
		head := len(response)
		response = append(response, coded.Body...)
		worth := len(coded.Body)*10 <= len(s.Body)*9 && Segments(len(response)) < Segments(len(varied))
		if worth && head <= MaxHead {
			forms = append(forms, Variant{Coding: coding, Image: newImage(response, head, SpeechHTTP)})
		}
	}
	if len(forms) > 1 {
		forms[0].Image = newImage(varied, len(varied)-len(s.Body), SpeechHTTP)
	}
	return forms, nil
}

// fits reports a response that is too long, with a header of so many bytes.
func (s Spec) fits(head int) error {
	if head > MaxHead {
		return &FieldError{"headers", fmt.Sprintf(
			"status line and header take %d bytes, at most %d are possible", head, MaxHead)}
	}
	if total := head + len(s.Body); total > MaxLength {
		return &FieldError{"body", fmt.Sprintf(
			"header (%d bytes) and body (%d bytes) take %d bytes, at most %d are possible: shorten the body by %d",
			head, len(s.Body), total, MaxLength, total-MaxLength)}
	}
	return nil
}

func (s Spec) has(name string) bool {
	return slices.ContainsFunc(s.Headers, func(h Header) bool { return http.CanonicalHeaderKey(h.Name) == name })
}

// encode gives the same bytes at each call: directors of a cluster tell pages by
// them.
func encode(coding Coding, body []byte) []byte {
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case CodingGzip:
		w, _ = gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one
	case CodingBrotli:
		w = brotli.NewWriterLevel(&out, brotli.BestCompression)
	case CodingNone:
		return body
	}
	_, _ = w.Write(body) // a buffer never fails to be written to
	_ = w.Close()
	return out.Bytes()
}
