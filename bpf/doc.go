// SPDX-License-Identifier: Apache-2.0

// Package bpf is the packet: the programs in C, how they are loaded, and how
// they are attached to interfaces. It must not know what a row of the service
// map means to an operator.
package bpf
