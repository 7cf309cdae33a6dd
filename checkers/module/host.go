// SPDX-License-Identifier: Apache-2.0

package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Host keeps the process of one module: it starts it at the first call, again
// after a crash, and not while it is in quarantine.
type Host struct {
	spec Spec
	log  *slog.Logger
	wake chan struct{} // somebody wants a process
	end  context.CancelFunc

	mu      sync.Mutex
	phase   Phase
	changed chan struct{} // closed and replaced with the phase
	process *process      // in PhaseReady
	ends    []end         // within the window
	until   time.Time     // of a pause or of a quarantine
	why     string        // of the last end
	used    time.Time
	total   totals
}

// end is when a process ended that was wanted, and whether it crashed or was killed
// because it kept calls.
type end struct {
	at    time.Time
	crash bool
}

// totals are counted as long as the daemon lives.
type totals struct{ calls, late, crashes, starts uint64 }

// Phase is where a host stands.
type Phase string

// The phases.
const (
	PhaseIdle       Phase = "idle"     // nobody has called it, or not for long
	PhaseStarting   Phase = "starting" // calls wait for it
	PhaseReady      Phase = "ready"
	PhasePause      Phase = "pause"      // between a crash and the next start
	PhaseQuarantine Phase = "quarantine" // it has crashed too often
	PhaseClosed     Phase = "closed"     // the daemon ends, or has no use for it
)

const (
	helloTime      = 5 * time.Second // that a process has to say hello
	firstPause     = 100 * time.Millisecond
	lastPause      = 5 * time.Second
	crashWindow    = time.Minute
	mostCrashes    = 5 // in the window
	quarantineTime = 10 * time.Minute
	idleTime       = 30 * time.Minute // longer than a day's checks are apart: it starts in milliseconds
	lostPeriod     = 100 * time.Millisecond
)

func newHost(spec Spec, log *slog.Logger) *Host {
	return &Host{
		spec: spec, log: log.With("module", spec.Name), wake: make(chan struct{}, 1),
		phase: PhaseIdle, changed: make(chan struct{}), used: time.Now(),
	}
}

// Call runs a check in the module. The error is an *Unavailable where the module
// was not there to run it, and that of ctx where it did not answer in time.
func (h *Host) Call(ctx context.Context, target netip.AddrPort, args json.RawMessage) (Reply, error) {
	p, err := h.await(ctx)
	if err != nil {
		return Reply{}, err
	}
	reply, err := p.call(ctx, newRequest(ctx, target, args))
	if errors.Is(err, context.DeadlineExceeded) {
		h.mu.Lock()
		h.total.late++
		h.mu.Unlock()
	}
	return reply, err
}

// await returns the process, when it is there.
func (h *Host) await(ctx context.Context) (*process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used = time.Now()
	h.total.calls++
	for {
		switch h.phase {
		case PhaseReady:
			return h.process, nil
		case PhasePause:
			return nil, &Unavailable{fmt.Sprintf("not run: the module starts again in %v: %s", left(h.until), h.why)}
		case PhaseQuarantine:
			return nil, &Unavailable{fmt.Sprintf("not run: the module is in quarantine for %v or until a reload: %s", left(h.until), h.why)}
		case PhaseClosed:
			return nil, &Unavailable{"not run: the daemon has no use for the module any more"}
		case PhaseIdle:
			h.poke()
		case PhaseStarting:
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
			h.mu.Lock()
		case <-ctx.Done():
			h.mu.Lock()
			return nil, &Unavailable{"not run: the module has not started yet"}
		}
	}
}

func left(until time.Time) time.Duration {
	d := max(time.Until(until), 0)
	if d > time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

func (h *Host) poke() {
	select {
	case h.wake <- struct{}{}:
	default: // it will see this as well
	}
}

// enter changes the phase.
func (h *Host) enter(phase Phase, p *process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase, h.process = phase, p
	close(h.changed)
	h.changed = make(chan struct{})
}

// Run keeps the process until ctx ends.
func (h *Host) Run(ctx context.Context) {
	defer h.enter(PhaseClosed, nil)
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		for h.live(ctx) && h.rest(ctx) {
		}
		if ctx.Err() != nil {
			return
		}
		h.enter(PhaseIdle, nil)
	}
}

// live is the life of one process. It tells whether another one is to be started.
func (h *Host) live(ctx context.Context) bool {
	h.enter(PhaseStarting, nil)
	hello, cancel := context.WithTimeout(ctx, helloTime)
	p, err := launch(hello, h.spec, h.log)
	cancel()
	if ctx.Err() != nil && p == nil {
		return false
	}
	if err != nil {
		h.failed(err.Error(), true)
		return true
	}
	h.mu.Lock()
	h.total.starts++
	h.mu.Unlock()
	h.log.Info("the module is there", "pid", p.child.cmd.Process.Pid, "name", p.hello.Name, "parallel", p.hello.Parallel)
	var receiver sync.WaitGroup
	defer receiver.Wait()
	receiver.Go(p.receive)
	h.enter(PhaseReady, p)
	return h.watch(ctx, p)
}

// watch waits for the end of a process, and brings it about where that is due.
func (h *Host) watch(ctx context.Context, p *process) bool {
	tick := time.NewTicker(lostPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.finish()
			return false
		case <-p.ended:
			h.failed(p.reason, true)
			return true
		case now := <-tick.C:
			if p.lost(now) >= p.mostLost() {
				p.kill("it was killed: too many calls have not come back")
				<-p.ended
				h.failed(p.reason, false)
				return true
			}
			if h.unused(now) {
				h.enter(PhaseIdle, nil) // who comes now waits for the next process
				p.finish()
				return false
			}
		}
	}
}

func (h *Host) unused(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Sub(h.used) > idleTime && h.process.inFlight() == 0
}

// failed notes an end that nobody wanted.
func (h *Host) failed(why string, crash bool) {
	h.mu.Lock()
	h.why = why
	h.ends = append(h.ends, end{time.Now(), crash})
	if crash {
		h.total.crashes++
	}
	h.mu.Unlock()
	h.log.Error("the module has ended, its checks are unknown", "why", why)
}

// rest waits until a process may be started again. It tells whether one is to be:
// not when ctx ends, and after a quarantine only once somebody calls.
func (h *Host) rest(ctx context.Context) bool {
	phase, wait := h.penalty(time.Now())
	if wait == 0 {
		return true
	}
	h.mu.Lock()
	h.until = time.Now().Add(wait)
	h.mu.Unlock()
	h.enter(phase, nil)
	if phase == PhaseQuarantine {
		h.log.Error("the module is in quarantine: it has crashed too often", "crashes", mostCrashes, "for", wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			h.pardon()
			return phase != PhaseQuarantine
		case <-h.wake:
			if h.pardoned() {
				return false
			}
		}
	}
}

// penalty is how long to wait after what has happened within the window: nothing
// after the first time, and ever longer after that.
func (h *Host) penalty(now time.Time) (Phase, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends = slices.DeleteFunc(h.ends, func(e end) bool { return now.Sub(e.at) >= crashWindow })
	crashes := 0
	for _, e := range h.ends {
		if e.crash {
			crashes++
		}
	}
	switch n := len(h.ends); {
	case crashes >= mostCrashes:
		return PhaseQuarantine, quarantineTime
	case n > 1:
		return PhasePause, min(firstPause<<min(n-2, 10), lastPause)
	}
	return PhasePause, 0
}

// pardon ends a quarantine with the crashes that led to it.
func (h *Host) pardon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase == PhaseQuarantine {
		h.ends = nil
	}
}

// pardoned tells whether a reload has ended the quarantine.
func (h *Host) pardoned() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.phase == PhaseQuarantine && h.ends == nil
}

// Release ends a quarantine.
func (h *Host) Release() {
	h.mu.Lock()
	released := h.phase == PhaseQuarantine
	if released {
		h.ends = nil
	}
	h.mu.Unlock()
	if released {
		h.poke()
	}
}
