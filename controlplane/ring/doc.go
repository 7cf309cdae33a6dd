// SPDX-License-Identifier: Apache-2.0

// Package ring knows how slots are shared out among real servers by their
// weights, so that each new connection only has to choose a slot. It must not
// know what a server is, whether it is up, or where a ring is kept.
package ring
