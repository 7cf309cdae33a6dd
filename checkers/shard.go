// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"container/heap"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// shard schedules a part of the probes: all that have a target in common are in
// one. A loop starts the runs that are due; each run is a goroutine.
type shard struct {
	seed   string
	epoch  time.Time // slots count from here
	events *events
	heard  bool // somebody wants every result
	wake   chan struct{}
	runs   sync.WaitGroup

	mu      sync.Mutex
	probes  map[Key]*probe
	targets map[netip.AddrPort]*target
	queue   queue
	spread  time.Duration // of first runs
	running int
	tally   tally
}

// target is an address and port with the probes that are on it right now.
type target struct {
	running int
	waiting []*probe
}

// PerTarget is how many runs may be in flight on one target, so that one that
// swallows packets does not gather runs. Others never wait for it. Those on it
// take turns, first come first served: Budgets counts with that.
const PerTarget = 2

// loop starts runs until ctx ends, and returns when the last has.
func (s *shard) loop(ctx context.Context) {
	s.plan(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(s.startDue(ctx))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		}
	}
	s.runs.Wait()
}

// plan sets the first run of every probe.
func (s *shard) plan(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.targets = make(map[netip.AddrPort]*target)
	s.queue = s.queue[:0]
	for _, p := range s.probes {
		p.dueFirst(now, s.spread)
		s.queue.Push(p)
	}
	heap.Init(&s.queue)
}

// startDue starts what is due and returns how long nothing will be.
func (s *shard) startDue(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		wait := time.Until(s.queue[0].due)
		if wait > 0 {
			return wait
		}
		s.admit(ctx, heap.Pop(&s.queue).(*probe))
	}
	return time.Hour
}

// admit starts a run, or puts the probe in its target's line.
func (s *shard) admit(ctx context.Context, p *probe) {
	t := s.targets[p.Key.Target]
	if t == nil {
		t = &target{}
		s.targets[p.Key.Target] = t
	}
	if t.running >= PerTarget {
		t.waiting = append(t.waiting, p)
		s.tally.held++
		return
	}
	s.start(ctx, p, t, false)
}

// start puts a run in flight. Held tells that it had to wait for its place.
func (s *shard) start(ctx context.Context, p *probe, t *target, held bool) {
	runCtx, cancel := context.WithTimeout(ctx, p.Timing.Timeout)
	r := &run{started: time.Now(), held: held, cancel: cancel}
	p.run = r
	t.running++
	s.running++
	checker, at, due := p.Checker, p.Key.Target, p.due // p may change meanwhile
	s.runs.Go(func() {
		defer cancel()
		r.late = time.Since(due)
		s.finish(ctx, p, r, checker.Check(runCtx, at))
	})
}

// finish takes the result of a run, unless the run was called off.
func (s *shard) finish(ctx context.Context, p *probe, r *run, result Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	p.run = nil
	s.running--
	s.release(ctx, p.Key.Target)
	switch {
	case p.gone:
		delete(s.probes, p.Key)
		return
	case ctx.Err() != nil:
		return // cut short: it proves nothing
	case r.stale:
		p.dueFirst(now, s.spread)
	default:
		s.tally.count(r, result)
		s.tally.skipped += p.missed(now)
		transition := p.take(result, now.Sub(s.epoch), now)
		if transition != nil || s.heard {
			s.events.put(event{p.Key, result, transition})
		}
		p.dueNext(s.epoch, r.started, now)
	}
	s.enqueue(p)
}

// release gives the place of a run to the next in its target's line.
func (s *shard) release(ctx context.Context, at netip.AddrPort) {
	t := s.targets[at]
	t.running--
	if len(t.waiting) > 0 && ctx.Err() == nil {
		next := t.waiting[0]
		t.waiting = t.waiting[1:]
		s.start(ctx, next, t, true)
		return
	}
	if t.running == 0 {
		delete(s.targets, at)
	}
}

// enqueue puts a probe in the queue and wakes the loop where it has to know.
func (s *shard) enqueue(p *probe) {
	heap.Push(&s.queue, p)
	if p.index == 0 {
		poke(s.wake)
	}
}

// dequeue takes a probe out of the queue or of its target's line.
func (s *shard) dequeue(p *probe) {
	if p.index >= 0 {
		heap.Remove(&s.queue, p.index)
		return
	}
	if t := s.targets[p.Key.Target]; t != nil {
		t.waiting = slices.DeleteFunc(t.waiting, func(other *probe) bool { return other == p })
	}
}

// set makes the shard's probes those that are wanted.
func (s *shard) set(want map[Key]Probe, spread time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spread = spread
	now := time.Now()
	for key, p := range s.probes {
		if _, ok := want[key]; !ok {
			s.remove(p)
		}
	}
	for key, w := range want {
		p := s.probes[key]
		switch {
		case p == nil:
			p = &probe{Probe: w, hash: hashOf(s.seed, key), index: -1}
			s.probes[key] = p
		case p.gone: // and back before its last run returned, which it waits for
			*p = probe{Probe: w, hash: p.hash, index: -1, run: p.run}
			continue
		case p.Fingerprint == w.Fingerprint:
			continue
		default:
			s.dequeue(p)
			p.replace(w)
		}
		if p.run == nil {
			p.dueFirst(now, spread)
			s.enqueue(p)
		}
	}
}

// remove forgets a probe, at once or when its run has returned.
func (s *shard) remove(p *probe) {
	if p.run != nil {
		p.callOff()
		p.gone = true
		return
	}
	s.dequeue(p)
	delete(s.probes, p.Key)
}

// snapshot adds the state of the shard's probes.
func (s *shard) snapshot(to []ProbeState) []ProbeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.probes {
		if !p.gone {
			to = append(to, p.state())
		}
	}
	return to
}
