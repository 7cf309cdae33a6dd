// SPDX-License-Identifier: Apache-2.0

// Package controlplane knows how the daemon is put together: which parts run,
// in what order they start and stop, and how a reload reaches them. It must not
// know how any part does its work.
package controlplane
