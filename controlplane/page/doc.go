// SPDX-License-Identifier: Apache-2.0

// Package page knows how a sorry page becomes the bytes of an HTTP response and
// the sums that let the kernel send any part of it cheaply. It must not know
// who sends it, or when.
package page
