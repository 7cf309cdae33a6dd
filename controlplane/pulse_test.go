// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// pulseBoard notes what it is told, and fails if it is to.
type pulseBoard struct {
	mu    sync.Mutex
	lines []string
	err   error
	stuck error
	cfg   config.Config
}

func (p *pulseBoard) Absent() (bool, error) { return true, nil }

func (p *pulseBoard) SetAbsence(a maps.Absence) error { return p.note(fmt.Sprintf("absence %d", a)) }

func (p *pulseBoard) Beat(within time.Duration) error { return p.note("beat " + within.String()) }

func (p *pulseBoard) note(line string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	return p.err
}

func (p *pulseBoard) config() *config.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	cfg := p.cfg
	return &cfg
}

func (p *pulseBoard) alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stuck
}

// set changes what the heart meets.
func (p *pulseBoard) set(d config.Director, stuck, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.Director, p.stuck, p.err = d, stuck, err
}

// take returns what was noted since it was called last.
func (p *pulseBoard) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := p.lines
	p.lines = nil
	return lines
}

func TestHeart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keep := config.Director{Absence: config.AbsenceKeep, AbsentAfter: 30 * time.Second}
		sorry := config.Director{Absence: config.AbsenceSorry, AbsentAfter: 30 * time.Second}
		pass := config.Director{Absence: config.AbsencePass, AbsentAfter: time.Minute}
		board := &pulseBoard{}
		board.set(keep, nil, nil)
		h := heart{board, board.config, board.alive, slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(pulsePeriod / 2)
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := board.take(); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		expect("at the start", "beat 0s", "absence 0")
		time.Sleep(3 * pulsePeriod)
		expect("where it is no matter")
		board.set(sorry, nil, nil)
		time.Sleep(2 * pulsePeriod)
		expect("after a reload", "beat 30s", "absence 2", "beat 30s")
		board.set(sorry, errors.New("the decider does not come round"), nil)
		time.Sleep(2 * pulsePeriod)
		expect("with a decider that is stuck")
		board.set(pass, nil, errors.New("no map"))
		time.Sleep(2 * pulsePeriod)
		expect("while the kernel fails", "beat 1m0s", "beat 1m0s")
		board.set(pass, nil, nil)
		time.Sleep(pulsePeriod)
		expect("when it works again", "beat 1m0s", "absence 1")
		board.set(keep, nil, nil)
		time.Sleep(2 * pulsePeriod)
		expect("when it is no matter any more", "beat 0s", "absence 0")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
