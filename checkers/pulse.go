// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pulse finds out when the director itself stands still: its machine is
// suspended, its process stopped or left without a processor. It beats, and a
// beat that comes late tells how long. What the monotonic clock leaves out, the
// sleep of the machine, the clock that counts it tells.
type pulse struct {
	epoch  time.Time
	asleep func() time.Duration // how long the machine has slept since it booted
	sum    atomic.Int64

	mu    sync.Mutex
	last  moment // beat
	slept time.Duration
}

const (
	beatEvery = 20 * time.Millisecond
	// standstill is more than a busy machine keeps its processes waiting.
	standstill = 500 * time.Millisecond
)

func newPulse(epoch time.Time) *pulse {
	return &pulse{epoch: epoch, asleep: asleep, slept: asleep(), last: time.Since(epoch)}
}

// lost is how long the director has stood still up to the last beat, in sum.
func (p *pulse) lost() time.Duration { return time.Duration(p.sum.Load()) }

// feel is the same up to now: who was stopped may wake before the pulse does.
func (p *pulse) feel() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, slept := time.Since(p.epoch), p.asleep()
	if late := now - p.last - beatEvery; late > beatEvery {
		p.sum.Add(int64(late))
	}
	// The two clocks are not read at the very same time.
	if d := slept - p.slept; d > beatEvery {
		p.sum.Add(int64(d))
		p.slept = slept
	}
	p.last = now
	return p.lost()
}

// beat goes on until ctx ends.
func (p *pulse) beat(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.feel()
		}
	}
}

// rest starts anew after a time in which nobody felt the pulse.
func (p *pulse) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.slept = time.Since(p.epoch), p.asleep()
}

// asleep compares the clock that goes on while the machine sleeps with the one
// that does not: clock_gettime(2).
func asleep() time.Duration {
	var all, awake unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &all) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &awake) != nil {
		return 0 // neither fails on Linux
	}
	return time.Duration(all.Nano() - awake.Nano())
}
