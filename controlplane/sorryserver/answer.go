// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// answers are the responses of a page: the last suits everybody.
type answers []answer

// answer is a response, taken apart.
type answer struct {
	host   string // in lower case; empty: any
	coding page.Coding
	status int
	header http.Header
	head   []byte // of HTTP/1.1: status line and header, without Connection and the empty line
	body   []byte
}

// newAnswers takes a page of HTTP apart. Its variants for those who open with
// TLS are for the kernel: here TLS is spoken.
func newAnswers(image page.Image) (answers, error) {
	var all answers
	for i, v := range image.Variants {
		if v.Opening == page.OpeningTLS || v.Image.Speech != page.SpeechHTTP {
			continue
		}
		a, err := newAnswer(v.Image)
		if err != nil {
			return nil, fmt.Errorf("variant %d: %w", i+1, err)
		}
		a.host, a.coding = strings.ToLower(v.Host), v.Coding
		all = append(all, a)
	}
	if image.Speech != page.SpeechHTTP {
		return nil, fmt.Errorf("the page is of protocol %q: only pages of http can be served", image.Speech)
	}
	a, err := newAnswer(image)
	return append(all, a), err
}

func newAnswer(image page.Image) (answer, error) {
	if image.Head <= 0 || image.Head > len(image.Response) {
		return answer{}, fmt.Errorf("a page of %d bytes has a header of %d", len(image.Response), image.Head)
	}
	lines := strings.Split(strings.TrimSuffix(string(image.Response[:image.Head]), "\r\n\r\n"), "\r\n")
	a := answer{header: http.Header{}, body: image.Response[image.Head:]}
	first, ok := strings.CutPrefix(lines[0], "HTTP/1.1 ")
	code, _, _ := strings.Cut(first, " ")
	var err error
	if a.status, err = strconv.Atoi(code); !ok || err != nil {
		return answer{}, fmt.Errorf("the page begins with %q, not with a status line", lines[0])
	}
	a.head = append(a.head, lines[0]+"\r\n"...)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Connection") {
			continue // is of each connection
		}
		a.head = append(a.head, line+"\r\n"...)
		a.header.Add(name, strings.TrimSpace(value))
	}
	return a, nil
}

// choose takes the first answer that suits a client, as the kernel does.
func (all answers) choose(host string, header http.Header) *answer {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	for i := range all[:len(all)-1] {
		a := &all[i]
		if (a.host == "" || a.host == host) && (a.coding == page.CodingNone || accepts(header, string(a.coding))) {
			return a
		}
	}
	return &all[len(all)-1]
}

// accepts tells whether a client takes a body in a coding (RFC 9110, 12.5.3).
func accepts(header http.Header, coding string) bool {
	for _, line := range header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), coding) {
				continue
			}
			q, weighted := strings.CutPrefix(strings.ToLower(strings.TrimSpace(weight)), "q=")
			value, err := strconv.ParseFloat(q, 64)
			return !weighted || err == nil && value > 0
		}
	}
	return false
}

// response is the answer over HTTP/1 (RFC 9112): the head alone for HEAD.
func (a *answer) response(headOnly, last bool) []byte {
	out := make([]byte, 0, len(a.head)+32+len(a.body))
	out = append(out, a.head...)
	if last {
		out = append(out, "Connection: close\r\n"...)
	}
	out = append(out, "\r\n"...)
	if headOnly {
		return out
	}
	return append(out, a.body...)
}

// serve is the answer over HTTP/2 (RFC 9113).
func (a *answer) serve(w http.ResponseWriter, headOnly bool) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	if !headOnly {
		_, _ = w.Write(a.body) // a client that is gone needs no answer
	}
}
