// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"hash/fnv"
	"strings"
)

// HostDigest is what the kernel knows a Host line by (RFC 9110, 7.2): FNV-1a of
// 64 bits over the name in lower case, without a port and without the dot that
// may end it. Its twin is scan_host in bpf/include/scan.h.
func HostDigest(host string) uint64 {
	name, bracket := host, false
	for i := range len(host) {
		if c := host[i]; c == '[' || c == ']' {
			bracket = c == '['
		} else if c == ':' && !bracket {
			name = host[:i]
			break
		}
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
