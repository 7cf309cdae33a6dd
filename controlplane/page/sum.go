// SPDX-License-Identifier: Apache-2.0

package page

import (
	"encoding/binary"
	"math/bits"
)

// Sum is the Internet checksum (RFC 1071), folded but not complemented, of the
// n bytes from off on, as if they stood at the start of what is summed. It
// takes the same time for any part and is the reference for the kernel's
// arithmetic. It panics if the part is not within the response.
func (m Image) Sum(off, n int) uint16 {
	end := off + n
	if off < 0 || n < 0 || end > len(m.Response) {
		panic("page: sum of a part outside the response")
	}
	sum := fold(m.before(end) - m.before(off))
	if off%2 == 1 {
		// Each byte stood in the other half of its word: RFC 1071, section 2 (B).
		sum = bits.ReverseBytes16(sum)
	}
	return sum
}

// before is the plain sum of all bytes before position i, each weighted by the
// half of the word that it stands in.
func (m Image) before(i int) uint32 {
	sum := m.Sums[i/2]
	if i%2 == 1 {
		sum += uint32(m.Response[i-1]) << 8
	}
	return sum
}

// runningSums cannot overflow: MaxLength/2 words of at most 65535 are below 2^31.
func runningSums(b []byte) []uint32 {
	sums := make([]uint32, 1, len(b)/2+2)
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
		sums = append(sums, sum)
	}
	if len(b) == 1 {
		sums = append(sums, sum+uint32(b[0])<<8)
	}
	return sums
}

func fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}
