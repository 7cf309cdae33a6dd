// SPDX-License-Identifier: Apache-2.0

package bpf

// Sizes says how large the tables of forwarding are to be.
type Sizes struct {
	Forwarding bool // else all of them are as small as can be
	Flows      int  // that there is room for
	FullNAT    bool // its table has as many rows
}
