// SPDX-License-Identifier: Apache-2.0

// Package bench knows how to send many packets through a director and what they
// cost: the programs by themselves, whole directors, eBPF's and the kernel's own, over
// one and the same network, and a sorry page beside a web server's. It must not know
// how any of them does it.
//
// It is run by make bench, which prints tables. Bars are told as met or not met
// and fail nothing: a figure is as good as the machine that it was taken on.
package bench
