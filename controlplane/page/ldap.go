// SPDX-License-Identifier: Apache-2.0

package page

import "math"

// maxLDAP leaves room for what the kernel puts before the result in place of what
// is here: a number of four bytes and not one, and a length that has three.
const maxLDAP = maxSegment - 5

// makeLDAP is a BindResponse to message 1 with the result unavailable (RFC 4511,
// 4.1.9 and 4.2.2). The kernel puts the number and kind of the request in place
// of these.
func makeLDAP(s Spec) ([]byte, int, error) {
	const (
		sequence, integer, octets, enumerated = 0x30, 0x02, 0x04, 0x0a
		bindResponse, unavailable             = 0x61, 52
	)
	if err := checkText(s.Text, badUnicode); err != nil {
		return nil, 0, err
	}
	result := ber(bindResponse, ber(enumerated, []byte{unavailable}), ber(octets, nil), ber(octets, []byte(s.Text)))
	return ber(sequence, ber(integer, []byte{1}), result), 0, nil
}

// ber is an element of the Basic Encoding Rules, its length as short as can be
// (X.690, 8.1.3); at most 65535 bytes.
func ber(tag byte, parts ...[]byte) []byte {
	var content []byte
	for _, part := range parts {
		content = append(content, part...)
	}
	out := []byte{tag}
	switch n := len(content); {
	case n <= math.MaxInt8:
		out = append(out, byte(n))
	case n <= math.MaxUint8:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, content...)
}
