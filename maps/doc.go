// SPDX-License-Identifier: Apache-2.0

// Package maps knows the kernel's side of the sorry engine as Go values: pinned
// maps, programs and links. Byte order, layout and pinning live here and
// nowhere above. It must not know why a service says sorry.
package maps
