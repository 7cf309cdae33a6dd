// SPDX-License-Identifier: Apache-2.0

// Package kernel gates tests by what the machine and its kernel offer. It
// knows how to ask the kernel, and nothing of what a test does with the answer.
//
// A gate never hides a broken machine: under CI=true a lack that the machine
// could mend (no root, no BPF) fails the test. Only a kernel that lacks a
// feature by age or by build skips it, with the reason.
package kernel
