// SPDX-License-Identifier: Apache-2.0

package page

import "fmt"

// maxLDAP keeps all lengths within one byte (X.690, 8.1.3.4), even where the
// number of the request, which the kernel puts in, has four bytes and not one.
const maxLDAP = 2 + 127 - 3

// ldapFrame is what stands around the text.
const ldapFrame = 14

// makeLDAP is a BindResponse to message 1 with the result unavailable (RFC 4511,
// 4.1.9 and 4.2.2, in BER as of its section 5.1). The kernel puts the number and
// kind of the request in place of these.
func makeLDAP(s Spec) ([]byte, int, error) {
	const bindResponse, unavailable = 0x61, 52
	if err := checkText(s.Text, badUnicode); err != nil {
		return nil, 0, err
	}
	if n := len(s.Text); n > maxLDAP-ldapFrame {
		return nil, 0, &FieldError{"text", fmt.Sprintf("has %d bytes, at most %d are possible", n, maxLDAP-ldapFrame)}
	}
	result := append([]byte{0x0a, 1, unavailable, 0x04, 0, 0x04, byte(len(s.Text))}, s.Text...)
	operation := append([]byte{bindResponse, byte(len(result))}, result...)
	message := append([]byte{0x02, 1, 1}, operation...)
	return append([]byte{0x30, byte(len(message))}, message...), 0, nil
}
