// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"hash/fnv"
	"strings"
)

// HostDigest is what the kernel knows a Host line by (RFC 9110, 7.2): FNV-1a of
// 64 bits over the name in lower case, without a port and without the dot that
// may end it.
func HostDigest(host string) uint64 {
	name := host
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name = host[:i]
	}
	name = strings.TrimSuffix(name, ".")
	h := fnv.New64a()
	_, _ = h.Write([]byte(lower(name))) // a hash never fails to be written to
	return h.Sum64()
}

// lower makes ASCII small and nothing else, as the kernel does.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
