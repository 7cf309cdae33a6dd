// SPDX-License-Identifier: Apache-2.0

// Package checkers knows whether a real server is alive: how a run of a check
// may end, when the next run is due, and how many results decide. It must not
// know what a check asks (package kind does), nor what a pool, a virtual service
// or a BPF map is.
package checkers
