// SPDX-License-Identifier: Apache-2.0

// Package page knows how a sorry page becomes the bytes of a protocol's own way
// to say that a service is down, and the sums that let the kernel send any part
// of them cheaply. It must not know who sends it, or when.
package page
