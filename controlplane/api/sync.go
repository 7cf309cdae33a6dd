// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
)

// InSync tells whether all targets are.
func InSync(targets []Target) bool {
	for _, t := range targets {
		if !t.InSync {
			return false
		}
	}
	return true
}

// Disagreements lists what keeps targets out of sync, each error with the name
// of its target. It is empty if all are in sync.
func Disagreements(targets []Target) []string {
	var failed, waiting []string
	for _, t := range targets {
		switch {
		case t.InSync:
		case t.LastError == "":
			waiting = append(waiting, t.Name)
		default:
			for line := range strings.SplitSeq(t.LastError, "\n") {
				failed = append(failed, t.Name+": "+line)
			}
		}
	}
	why := ": held back until that holds"
	if len(failed) == 0 {
		why = ": not told of the newest decision yet"
	}
	for _, name := range waiting {
		failed = append(failed, name+why)
	}
	return failed
}

// Brief is the first of the lines, and how many there are more.
func Brief(lines []string) string {
	switch len(lines) {
	case 0:
		return ""
	case 1:
		return lines[0]
	}
	return fmt.Sprintf("%s (and %d more)", lines[0], len(lines)-1)
}

// ForwardingText says who forwards, for people.
func ForwardingText(by, note string) string {
	switch {
	case by != "none" && note == "":
		return "forwarding: " + by
	case by != "none":
		return fmt.Sprintf("forwarding: %s (%s)", by, note)
	}
	return fmt.Sprintf("forwarding: none (%s): services are checked and say sorry, but nothing is forwarded", note)
}
