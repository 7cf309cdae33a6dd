// SPDX-License-Identifier: Apache-2.0

package checkers

// Limited is a Checker whose runs take something that the director has little
// of besides time: a process, a thread, a place in a module's host. It is asked
// once, when the probe is set.
//
// Such runs share the slots of their group. One that finds none free waits for
// its turn, first come first served, and holds nobody else back meanwhile: the
// runs of other groups, and of checks that are not Limited, go on, on the same
// target too. Its timeout begins when it starts. The wait is part of the
// detection budget (Budgets), and Stats counts the run as Held.
//
// It is not for what a run merely does with the network, TLS handshakes included:
// a few servers that swallow packets would take all slots for as long as the
// timeout, and the checks of servers that are well would wait for them.
type Limited interface {
	Checker
	Slots() Slots
}

// Slots is a group of runs and how many of them may be in flight at once, over
// the whole director. The zero value stands for no limit. Where checks
// disagree on a group's limit the lowest counts.
type Slots struct {
	Group string // "exec", "module hello"
	Most  int    // at least 1
}

// ExecSlots is the group of checks that start a program for each run.
func ExecSlots() Slots { return Slots{Group: "exec", Most: 32} }

// SlotsOf is the group of a checker, and the zero value where it is not Limited.
// A Checker that wraps another has Slots too, which return this of the other.
func SlotsOf(c Checker) Slots {
	if l, ok := c.(Limited); ok {
		return l.Slots()
	}
	return Slots{}
}
