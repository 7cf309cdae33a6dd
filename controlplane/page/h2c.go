// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// makeH2C is all that a server has to say over HTTP/2 in the clear with prior
// knowledge (RFC 9113, 3.3) to a client that asks for one thing: the client's
// first stream is number 1. The head is the server's preface, which some clients
// wait for before they ask.
func makeH2C(s Spec) ([]byte, int, error) {
	if err := s.check(); err != nil {
		return nil, 0, err
	}
	fields := []hpack.HeaderField{{Name: ":status", Value: strconv.Itoa(s.Status)}}
	if s.ContentType != "" {
		fields = append(fields, hpack.HeaderField{Name: "content-type", Value: s.ContentType})
	}
	fields = append(fields,
		hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(len(s.Body))},
		hpack.HeaderField{Name: "cache-control", Value: "no-store"})
	if s.RetryAfter > 0 {
		fields = append(fields, hpack.HeaderField{Name: "retry-after", Value: strconv.Itoa(int(s.RetryAfter / time.Second))})
	}
	for i, h := range s.Headers {
		if problem := badHTTP2Name(h.Name); problem != "" {
			return nil, 0, &FieldError{"headers[" + strconv.Itoa(i) + "].name", problem}
		}
		fields = append(fields, hpack.HeaderField{Name: strings.ToLower(h.Name), Value: h.Value})
	}
	return http2Answer(fields, s.Body)
}

// badHTTP2Name tells what keeps a name from HTTP/2: it is of the connection (RFC
// 9113, 8.2.2).
func badHTTP2Name(name string) string {
	switch http.CanonicalHeaderKey(name) {
	case "Proxy-Connection", "Te":
		return name + " is of HTTP/1.1 alone"
	}
	return ""
}

// http2Answer makes SETTINGS, and then the acknowledgement of the client's, the
// response on stream 1, and GOAWAY. A body of nil ends the stream with its header.
func http2Answer(fields []hpack.HeaderField, body []byte) ([]byte, int, error) {
	const stream = 1
	var block, out bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		f.Sensitive = true // a literal that stays out of the client's table
		if err := encoder.WriteField(f); err != nil {
			return nil, 0, err
		}
	}
	framer := http2.NewFramer(&out, nil)
	if err := framer.WriteSettings(); err != nil {
		return nil, 0, err
	}
	head := out.Len()
	if err := framer.WriteSettingsAck(); err != nil {
		return nil, 0, err
	}
	err := framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: len(body) == 0,
	})
	if err != nil {
		return nil, 0, err
	}
	if len(body) > 0 {
		if err := framer.WriteData(stream, true, body); err != nil {
			return nil, 0, err
		}
	}
	if err := framer.WriteGoAway(stream, http2.ErrCodeNo, nil); err != nil {
		return nil, 0, err
	}
	return out.Bytes(), head, nil
}
