// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"slices"
	"time"
)

// TargetStatus tells how well a target agrees with what is wanted.
type TargetStatus struct {
	Name      string
	InSync    bool
	Rows      int       // of ours, at the end of the last pass
	Repairs   uint64    // of what somebody else had changed
	Errors    uint64    // effects and reads that failed
	LastError string    // of the last pass, one error a line; empty: it went well
	LastSync  time.Time // when it last agreed
}

// Status tells of every target, in the order of Options.Targets, as of the end
// of the last pass. None is in sync while that pass was for less than is wanted.
func (e *Engine) Status() []TargetStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	status := slices.Clone(e.status)
	for i := range status {
		status[i].InSync = status[i].InSync && e.want == e.tried
	}
	return status
}
