// SPDX-License-Identifier: Apache-2.0

// Package checkers knows whether a real server is alive: what a check is, how
// one run of it ends, and when the next run is due. It must not know what a
// pool, a virtual service or a BPF map is.
package checkers
