// SPDX-License-Identifier: Apache-2.0

package page

import (
	"fmt"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// makeGRPC is a response of trailers alone with the status UNAVAILABLE, which is
// 14 (gRPC, PROTOCOL-HTTP2, "Responses", and statuscodes).
func makeGRPC(s Spec) ([]byte, int, error) {
	if err := checkText(s.Text, badUnicode); err != nil {
		return nil, 0, err
	}
	return http2Answer([]hpack.HeaderField{
		{Name: ":status", Value: "200"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "grpc-status", Value: "14"},
		{Name: "grpc-message", Value: percentEncoded(s.Text)},
	}, nil)
}

// percentEncoded is Percent-Encoded of gRPC's PROTOCOL-HTTP2.
func percentEncoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
