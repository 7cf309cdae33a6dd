// SPDX-License-Identifier: Apache-2.0

package page

// MaxLength is the most bytes that a response may have, header and body: the
// offset of a byte, and of the FIN after the last, must fit 16 bits of the
// cookie.
const MaxLength = 65534

// MaxHead is the most bytes that the header may have: a HEAD request is
// answered by one segment, and 536 bytes is the smallest that we send.
const MaxHead = 536

// Image is a response as the kernel sends it.
type Image struct {
	// Response is the status line, the header, the empty line and the body.
	Response []byte
	// Head is the length of all that comes before the body, in bytes: what a
	// HEAD request is answered with.
	Head int
	// Sums are running sums for the Internet checksum (RFC 1071): Sums[i] is
	// the plain sum of the first i 16-bit big-endian words of the response, an
	// odd last byte counting as the high half of a word. A difference of two
	// sums is the sum of the words between.
	Sums []uint32
	// Digest identifies the response's bytes.
	Digest uint64
}
