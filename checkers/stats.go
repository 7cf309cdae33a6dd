// SPDX-License-Identifier: Apache-2.0

package checkers

import "time"

// Stats says how the scheduler itself fares, since it was made.
type Stats struct {
	Probes  int
	Running int // runs in flight
	// Runs counts the runs by how they ended. Runs that were called off, because
	// their probe was changed or removed, are not among them.
	Runs []RunCount
	// Skipped counts the slots that a probe missed because its run before was
	// still in flight, or waited.
	Skipped uint64
	// Held counts the runs that had to wait because as many of other checks on
	// the same target as may were in flight, or of their group: see Limited.
	Held uint64
	// Discarded counts the failures that were not taken for the servers' because
	// the director itself stood still meanwhile: its machine was suspended, or its
	// process stopped.
	Discarded uint64
	// Lateness is how long after the time that it was due a run started. Runs
	// that were held are not among them.
	Lateness Histogram
}

// RunCount is a number of runs that ended alike.
type RunCount struct {
	Outcome Outcome
	Class   Class
	Count   uint64
}

// tally is the part of the statistics that one shard keeps.
type tally struct {
	runs     [OutcomeFail + 1][ClassLocal + 1]uint64
	skipped  uint64
	held     uint64
	spared   uint64
	lateness Histogram
}

func (t *tally) count(r *run, result Result) {
	if !r.held {
		t.lateness.Observe(r.late)
	}
	if result.Outcome <= OutcomeFail && result.Class <= ClassLocal {
		t.runs[result.Outcome][result.Class]++
	}
}

func (t *tally) add(other *tally) {
	for outcome := range t.runs {
		for class := range t.runs[outcome] {
			t.runs[outcome][class] += other.runs[outcome][class]
		}
	}
	t.skipped += other.skipped
	t.held += other.held
	t.spared += other.spared
	t.lateness.add(&other.lateness)
}

// counts lists the runs that there were, ordered by outcome and class.
func (t *tally) counts() []RunCount {
	var all []RunCount
	for outcome, classes := range t.runs {
		for class, n := range classes {
			if n > 0 {
				all = append(all, RunCount{Outcome(outcome), Class(class), n})
			}
		}
	}
	return all
}

// ProbeState is what the scheduler knows of one probe.
type ProbeState struct {
	Key    Key
	Timing Timing
	Budget time.Duration // see Budgets
	Status Status
	// Since is when the probe went up or down; zero while it is unknown.
	Since  time.Time
	Passes int // results in a row that passed
	Fails  int // results in a row that failed
	Flaps  int // how often it went from up to down, since the probe was made
	// Suppressed tells that flap damping keeps it down, see Damping.
	Suppressed bool
	// What the last pass said, while the probe is up.
	Degraded bool
	Percent  int
	Hint     Hint

	Last    Result    // of the last run
	LastRun time.Time // when that run ended; zero before the first
	NextDue time.Time // zero while a run is in flight or held
	Running bool

	Runs     uint64 // since the probe was made
	Failures uint64 // of these

	slots Slots
}
