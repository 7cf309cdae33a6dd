// SPDX-License-Identifier: Apache-2.0

// Package state decides: from the configuration and the verdicts of probes it
// derives which real servers live and which virtual services serve or say
// sorry. It is pure; it must not know time, the kernel or the network.
package state
