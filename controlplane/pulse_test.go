// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// pulseBoard notes what it is told, and fails if it is to.
type pulseBoard struct {
	lines []string
	err   error
}

func (p *pulseBoard) Absent() (bool, error) { return true, nil }

func (p *pulseBoard) SetAbsence(a maps.Absence) error {
	p.lines = append(p.lines, fmt.Sprintf("absence %d", a))
	return p.err
}

func (p *pulseBoard) Beat(within time.Duration) error {
	p.lines = append(p.lines, "beat "+within.String())
	return p.err
}

func TestHeart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &pulseBoard{}
		cfg := &config.Config{Director: config.Director{Absence: config.AbsenceKeep, AbsentAfter: 30 * time.Second}}
		var stuck error
		h := heart{board, func() *config.Config { return cfg }, func() error { return stuck }, slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(pulsePeriod / 2)
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(board.lines, want) {
				t.Errorf("%s: %q, want %q", what, board.lines, want)
			}
			board.lines = nil
		}
		expect("at the start", "absence 0", "beat 0s")
		time.Sleep(3 * pulsePeriod)
		expect("where it is no matter")
		cfg = &config.Config{Director: config.Director{Absence: config.AbsenceSorry, AbsentAfter: 30 * time.Second}}
		time.Sleep(2 * pulsePeriod)
		expect("after a reload", "absence 2", "beat 30s", "beat 30s")
		stuck = errors.New("the decider does not come round")
		time.Sleep(2 * pulsePeriod)
		expect("with a decider that is stuck")
		stuck, board.err = nil, errors.New("no map")
		cfg = &config.Config{Director: config.Director{Absence: config.AbsencePass, AbsentAfter: time.Minute}}
		time.Sleep(2 * pulsePeriod)
		expect("while the kernel fails", "absence 1", "absence 1")
		board.err = nil
		time.Sleep(pulsePeriod)
		expect("when it works again", "absence 1", "beat 1m0s")
		cfg = &config.Config{Director: config.Director{Absence: config.AbsenceKeep}}
		time.Sleep(2 * pulsePeriod)
		expect("when it is no matter any more", "absence 0", "beat 0s")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
