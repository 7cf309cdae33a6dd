// SPDX-License-Identifier: Apache-2.0

// Package bench knows how to send many packets through a director and what they
// cost: the programs by themselves, and whole directors, eBPF's and the kernel's
// own, over one and the same network. It must not know how either forwards.
//
// It is run by make bench, which prints tables. Bars are told as met or not met
// and fail nothing: a figure is as good as the machine that it was taken on.
package bench
