// SPDX-License-Identifier: Apache-2.0

package api

import "time"

// Module is a process of checks that others have written.
type Module struct {
	Name string   `json:"name"`
	What []string `json:"what"` // the shared object, or the program and its arguments
	// Phase is idle, starting, ready, pause (between a crash and the next start) or
	// quarantine (it has crashed too often).
	Phase    string     `json:"phase"`
	PID      int        `json:"pid,omitempty"`
	Parallel int        `json:"parallel,omitempty"` // calls that it takes at a time
	InFlight int        `json:"in_flight"`          // calls that are in it
	Calls    uint64     `json:"calls"`
	Late     uint64     `json:"late"` // calls that were not answered in time
	Starts   uint64     `json:"starts"`
	Crashes  uint64     `json:"crashes"`
	Until    *time.Time `json:"until,omitempty"` // of a pause or a quarantine
	Why      string     `json:"why,omitempty"`   // it ended the last time
}
