// SPDX-License-Identifier: Apache-2.0

// Package maps knows the kernel's side of the sorry engine and of forwarding as
// Go values: pinned maps, programs and links. Byte order, layout, the numbers of
// rows and pinning live here and nowhere above. It must not know why a service
// says sorry, nor why a server is up.
package maps
