// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// Checksum is the internet checksum of RFC 1071 over b: the complement of the
// one's complement sum. Over data that holds its own right checksum it is 0.
func Checksum(b []byte) uint16 {
	var sum uint64
	for len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// checksumL4 is the checksum over the pseudo header (RFC 9293 section 3.1,
// RFC 8200 section 8.1) and the segment.
func checksumL4(src, dst netip.Addr, proto uint8, segment []byte) uint16 {
	b := append(src.Unmap().AsSlice(), dst.Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(segment)))
	b = append(b, 0, 0, 0, proto)
	return Checksum(append(b, segment...))
}
