// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Scheduler runs probes when they are due and tells of their transitions. It is
// safe for concurrent use.
type Scheduler struct {
	options Options
	shards  []*shard
	events  *events
	pulse   *pulse
	running atomic.Bool
	setting sync.Mutex // one Set at a time
}

// Options are what a Scheduler is made from. The zero value works.
type Options struct {
	// Seed moves the phases of all probes: the director's name.
	Seed string
	// Shards is how many loops start runs; zero stands for GOMAXPROCS.
	Shards int
	// OnTransition hears of every transition, in order for each probe, and
	// OnResult of every result, before the transition that it makes. One
	// goroutine calls both and holds no lock: they may call the Scheduler, and
	// runs go on while they work, but what they say waits in memory. One that is
	// under way when Set removes its probe may still arrive after Set.
	OnTransition func(Transition)
	OnResult     func(Key, Result)
	// OnPanic hears of a check that panicked, as a library may that meets an answer
	// which its authors never thought of, with the stack; many goroutines call it.
	// The run's result is then unknown. Without OnPanic the process ends.
	OnPanic func(key Key, what any, stack []byte)
}

// NewScheduler makes a scheduler without probes.
func NewScheduler(options Options) *Scheduler {
	if options.Shards <= 0 {
		options.Shards = runtime.GOMAXPROCS(0)
	}
	epoch := time.Now()
	s := &Scheduler{options: options, events: newEvents(), pulse: newPulse(epoch)}
	for range options.Shards {
		s.shards = append(s.shards, &shard{
			seed:   options.Seed,
			epoch:  epoch,
			pulse:  s.pulse,
			events: s.events,
			heard:  options.OnResult != nil,
			panics: options.OnPanic,
			wake:   make(chan struct{}, 1),
			probes: make(map[Key]*probe),
			groups: make(map[string]*group),
		})
	}
	return s
}

// errRunning is what a second Run gets.
var errRunning = errors.New("the scheduler of checks runs already")

// Run schedules until ctx ends. When it returns, nil but for a scheduler that
// runs already, no run is in flight and every transition has been told. The
// results of runs that the end of ctx cut short are discarded.
func (s *Scheduler) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errRunning
	}
	defer s.running.Store(false)

	s.pulse.rest()
	var loops, messenger sync.WaitGroup
	loops.Go(func() { s.pulse.beat(ctx) })
	done := make(chan struct{})
	messenger.Go(func() { s.events.deliver(done, s.tell) })
	for _, sh := range s.shards {
		loops.Go(func() { sh.loop(ctx) })
	}
	loops.Wait()
	close(done)
	messenger.Wait()
	return nil
}

// tell calls who wants to hear of a result.
func (s *Scheduler) tell(e event) {
	if s.options.OnResult != nil {
		s.options.OnResult(e.key, e.result)
	}
	if e.transition != nil && s.options.OnTransition != nil {
		s.options.OnTransition(*e.transition)
	}
}

// Set makes the probes those that are given, before or during Run. Of two with
// the same key the later one counts.
//
// A probe that was there with the same fingerprint is untouched. One with
// another fingerprint keeps its status, but takes the new checker and timing,
// and starts as soon as a new one would; a run in flight is called off. So are
// the runs of probes that are not given any more; these are forgotten. No probe
// ever has two runs in flight, not even for a moment after it was replaced, unless
// that changed the group of a Limited one: then the run that is called off may
// outlast the start of the next.
//
// A new probe first runs within a second, or within its interval where that is
// shorter. Where there are more than a thousand, all are spread over a
// millisecond each, and ten seconds at most.
func (s *Scheduler) Set(probes []Probe) {
	parts := parted(probes, len(s.shards))
	spread := time.Duration(len(probes)) * time.Millisecond
	spread = min(max(spread, time.Second), 10*time.Second)

	s.setting.Lock()
	defer s.setting.Unlock()
	moved := make(map[Key]record)
	for i, sh := range s.shards {
		sh.drop(parts[i], moved)
	}
	for i, sh := range s.shards {
		sh.set(parts[i], moved, spread)
	}
}

// Snapshot tells the state of every probe, ordered by check and target.
func (s *Scheduler) Snapshot() []ProbeState {
	var all []ProbeState
	for _, sh := range s.shards {
		all = sh.snapshot(all)
	}
	crowd := newCrowd(len(all), func(i int) member { return member{all[i].Key.Target, all[i].slots, &all[i].Timing} })
	for i := range all {
		all[i].Budget = crowd.budget(member{all[i].Key.Target, all[i].slots, &all[i].Timing})
	}
	slices.SortFunc(all, func(a, b ProbeState) int {
		return cmp.Or(strings.Compare(a.Key.Check, b.Key.Check), a.Key.Target.Compare(b.Key.Target))
	})
	return all
}

// Stats tells how the scheduler itself fares.
func (s *Scheduler) Stats() Stats {
	var sum tally
	var stats Stats
	for _, sh := range s.shards {
		sh.mu.Lock()
		sum.add(&sh.tally)
		stats.Running += sh.running
		for _, p := range sh.probes {
			if !p.gone {
				stats.Probes++
			}
		}
		sh.mu.Unlock()
	}
	stats.Runs = sum.counts()
	stats.Skipped, stats.Held, stats.Discarded, stats.Lateness = sum.skipped, sum.held, sum.spared, sum.lateness
	return stats
}
