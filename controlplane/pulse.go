// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"log/slog"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// pulsePeriod is the time between two signs of life.
const pulsePeriod = time.Second

// Pulse tells the kernel that the daemon lives; maps.Maps is one.
type Pulse interface {
	// SetAbsence says what is done once a Beat is overdue.
	SetAbsence(maps.Absence) error
	// Beat promises another within that time; zero: none is needed.
	Beat(within time.Duration) error
	// Absent tells whether a Beat is overdue.
	Absent() (bool, error)
}

// heart gives signs of life as long as the decider comes round.
type heart struct {
	kernel Pulse
	config func() *config.Config
	alive  func() error // returns once the decider has come round
	log    *slog.Logger
}

func (heart) String() string { return "pulse" }

// Run beats until ctx ends. What fails is tried again.
func (h heart) Run(ctx context.Context) error {
	if absent, err := h.kernel.Absent(); err == nil && absent {
		h.log.Warn("there was no daemon for so long that the kernel did as director.absence says")
	}
	told, failed := config.Absence(""), ""
	beat := func() {
		d := h.config().Director
		err := h.alive()
		// The beat comes first: it may end an absence, in which another policy would
		// hold at once.
		if err == nil && (d.Absence != config.AbsenceKeep || d.Absence != told) {
			err = h.kernel.Beat(within(d))
		}
		if err == nil && d.Absence != told {
			err = h.kernel.SetAbsence(absenceOf(d.Absence))
		}
		if err == nil {
			told = d.Absence
		}
		switch {
		case err == nil:
			failed = ""
		case err.Error() != failed:
			failed = err.Error()
			h.log.Error("no sign of life to the kernel", "error", err)
		}
	}
	beat()
	return every(ctx, pulsePeriod, beat)
}

// within is when the next sign of life is due at the latest; zero where it is no
// matter.
func within(d config.Director) time.Duration {
	if d.Absence == config.AbsenceKeep {
		return 0
	}
	return d.AbsentAfter
}

func absenceOf(a config.Absence) maps.Absence {
	switch a {
	case config.AbsencePass:
		return maps.AbsencePass
	case config.AbsenceSorry:
		return maps.AbsenceSorry
	case config.AbsenceKeep:
	}
	return maps.AbsenceKeep
}
