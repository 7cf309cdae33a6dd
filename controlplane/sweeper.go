// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/maitred-lb/maitred/maps"
)

// A sweep comes this long after the one before, sooner where services shed by what it
// counts, and after so many times what that one took: sweeping never takes more than
// one per cent of a CPU.
const (
	sweepPeriod = 5 * time.Second
	hurryPeriod = meterPeriod
	sweepShare  = 100
)

// sweeper goes through the flows of the eBPF engine now and then: it removes those
// that are over, and counts the others.
type sweeper struct {
	sweep func() (maps.Census, error)
	hurry func() bool // tells whether services shed by what it counts
	log   *slog.Logger
	last  atomic.Pointer[swept]
}

// swept is how a sweep ended.
type swept struct {
	census maps.Census
	at     time.Time
}

func newSweeper(sweep func() (maps.Census, error), hurry func() bool, log *slog.Logger) *sweeper {
	return &sweeper{sweep: sweep, hurry: hurry, log: log}
}

// String names the sweeper among the tasks of the daemon.
func (*sweeper) String() string { return "sweeper" }

// Run sweeps until ctx ends. A failure that lasts is logged once.
func (s *sweeper) Run(ctx context.Context) error {
	failed := ""
	for {
		begin := time.Now()
		census, err := s.sweep()
		took := time.Since(begin)
		switch {
		case err == nil:
			failed = ""
			s.last.Store(&swept{census, time.Now()})
		case err.Error() != failed:
			failed = err.Error()
			s.log.Error("connections that are over are not removed, it will be tried again", "error", err)
		}
		period := sweepPeriod
		if s.hurry() {
			period = hurryPeriod
		}
		if !pause(ctx, max(period, sweepShare*took)) {
			return nil
		}
	}
}

// Census implements part of Flows.
func (s *sweeper) Census() (maps.Census, time.Time) {
	if last := s.last.Load(); last != nil {
		return last.census, last.at
	}
	return maps.Census{}, time.Time{}
}

// flowTable is the Flows of the eBPF engine.
type flowTable struct {
	*maps.Maps
	*sweeper
}
