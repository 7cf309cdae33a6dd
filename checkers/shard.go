// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"container/heap"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// shard schedules a part of the probes: all that have a target or a group in
// common are in one. A loop starts the runs that are due; each run is a
// goroutine.
type shard struct {
	seed   string
	epoch  time.Time // moments count from here
	pulse  *pulse
	events *events
	heard  bool // somebody wants every result
	panics func(Key, any, []byte)
	wake   chan struct{}
	runs   sync.WaitGroup

	mu      sync.Mutex
	probes  map[Key]*probe
	places  map[place]*line
	groups  map[string]*group
	queue   queue
	spread  time.Duration // of first runs
	lost    time.Duration // see pulse: when the probes were last spread
	running int
	tally   tally
}

func (s *shard) now() moment { return time.Since(s.epoch) }

// loop starts runs until ctx ends, and returns when the last has.
func (s *shard) loop(ctx context.Context) {
	s.plan()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		wait := s.startDue(ctx)
		if wait == 0 {
			runtime.Gosched() // those that were started come first
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		}
	}
	s.runs.Wait()
}

// plan sets the first run of every probe.
func (s *shard) plan() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = s.pulse.feel()
	s.places = make(map[place]*line)
	for _, g := range s.groups {
		g.line = line{}
	}
	s.queue = s.queue[:0]
	now := s.now()
	for _, p := range s.probes {
		p.dueFirst(now, s.spread)
		s.queue.Push(p)
	}
	heap.Init(&s.queue)
}

// burst is how many runs start before those that are ready get to run. A director
// that has too little of its processors starts what is due the later, and does
// not gather runs that take memory while nothing becomes of them.
const burst = 32

// startDue starts what is due, but a burst at most, and returns how long nothing
// will be: zero where more is due.
func (s *shard) startDue(ctx context.Context) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range burst {
		if len(s.queue) == 0 {
			return time.Hour
		}
		now := s.now()
		late := now - s.queue[0].due
		if late < 0 {
			return -late
		}
		if late > standstill && s.pulse.feel()-s.lost > standstill {
			s.respread(now)
			continue
		}
		s.admit(ctx, heap.Pop(&s.queue).(*probe))
	}
	return 0
}

// respread spreads what came due while the director stood still, as at a start:
// all at once would be late, and a burst for the servers.
func (s *shard) respread(now moment) {
	s.lost = s.pulse.feel()
	for _, p := range s.queue {
		if p.due < now {
			p.dueFirst(now, s.spread)
		}
	}
	heap.Init(&s.queue)
}

// start puts a run in flight.
func (s *shard) start(ctx context.Context, p *probe) {
	runCtx, cancel := context.WithTimeout(ctx, p.timing.Timeout)
	r := &run{started: s.now(), held: p.held, lost: s.pulse.lost(), at: p.place(), group: p.group, cancel: cancel}
	p.run = r
	s.running++
	checker, key, due := p.checker, p.key, p.due // p may change meanwhile
	s.runs.Go(func() {
		defer cancel()
		r.late = s.now() - due
		s.finish(ctx, p, r, s.check(runCtx, checker, key))
	})
}

// check runs a check. One that panics says nothing of the server, and must not
// end the checks of all others.
func (s *shard) check(ctx context.Context, c Checker, key Key) (result Result) {
	if s.panics != nil {
		defer func() {
			if what := recover(); what != nil {
				s.panics(key, what, debug.Stack())
				result = Result{Class: ClassLocal, Message: Clip(fmt.Sprintf("not run: the check itself failed: %v", what), MaxMessage)}
			}
		}()
	}
	return c.Check(ctx, key.Target)
}

// finish takes the result of a run, unless the run was called off.
func (s *shard) finish(ctx context.Context, p *probe, r *run, result Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.run = nil
	s.running--
	if ctx.Err() != nil { // cut short: it proves nothing
		if p.gone {
			delete(s.probes, p.key)
		}
		return
	}
	s.release(ctx, r)
	now := time.Now()
	at := now.Sub(s.epoch)
	switch {
	case p.gone:
		delete(s.probes, p.key)
		return
	case r.stale:
		p.dueFirst(at, s.spread)
	case s.spare(p, r, result):
		s.tally.spared++
		p.dueFirst(at, s.spread)
	default:
		s.tally.count(r, result)
		s.tally.skipped += p.missed(at)
		transition := p.take(result, at, now)
		if transition != nil || s.heard {
			s.events.put(event{p.key, result, transition})
		}
		p.dueNext(r.started, at)
	}
	s.enqueue(p)
}

// spare tells whether a failure is the director's own, which stood still for a
// good part of the run: the answer may have come meanwhile, or been given up by
// the server. A probe is spared once between two passes, so that a director that
// hardly gets to run takes no longer than one more run to find out who is dead.
func (s *shard) spare(p *probe, r *run, result Result) bool {
	const share = 4 // of the timeout
	if result.Outcome != OutcomeFail {
		p.spent = p.spent && !result.Outcome.passed()
		return false
	}
	if p.spent || s.pulse.feel()-r.lost < p.timing.Timeout/share {
		return false
	}
	p.spent = true
	return true
}

// enqueue puts a probe in the queue and wakes the loop where it has to know.
func (s *shard) enqueue(p *probe) {
	heap.Push(&s.queue, p)
	if p.index == 0 {
		poke(s.wake)
	}
}

// snapshot adds the state of the shard's probes.
func (s *shard) snapshot(to []ProbeState) []ProbeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.probes {
		if !p.gone {
			to = append(to, p.state(s.epoch))
		}
	}
	return to
}
