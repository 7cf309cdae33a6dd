// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"
)

// probe is a Probe with its state. Its shard's lock guards it.
//
// It is in one of three places: in the shard's queue (index is not negative), in
// a line of waiting probes, or in flight (run is set).
type probe struct {
	key         Key
	checker     Checker
	timing      *Timing // many probes have the same
	fingerprint string
	hash        uint64 // of key and seed: the probe's place in time
	group       *group // nil: it is not Limited

	due   moment
	slot  moment // that the next run, or the one in flight, serves; zero where none
	index int    // in the queue; -1 outside it
	run   *run
	held  bool // the next run had to wait in a line
	gone  bool // removed while in flight; it stays until the run returns
	spent bool // since the last pass, a failure counted for nothing because the director had stood still

	record
}

// record is what a probe's runs have brought.
type record struct {
	counter  Counter
	told     word
	since    time.Time
	last     Result
	lastRun  time.Time
	runs     uint64
	failures uint64
}

// moment is a time since the scheduler's epoch, by the monotonic clock: whoever
// sets the wall clock moves none.
type moment = time.Duration

// run is one run in flight.
type run struct {
	started moment
	late    time.Duration // after it was due
	held    bool          // it is late because it waited in a line
	lost    time.Duration // see pulse: when it started
	at      place
	group   *group
	cancel  context.CancelFunc
	stale   bool // the probe was changed or removed meanwhile: discard the result
}

// callOff ends the run in flight, if there is one. Its result is discarded.
func (p *probe) callOff() {
	if p.run != nil {
		p.run.stale = true
		p.run.cancel()
	}
}

// place is what runs that could get in each other's way on a target share.
func (p *probe) place() place { return place{p.key.Target, p.group} }

// take counts one result, at the moment that now is. It returns the
// transition that the result makes, or nil.
func (p *probe) take(result Result, at moment, now time.Time) *Transition {
	next, moved := p.counter.Next(result, p.timing, at)
	p.counter = next
	p.last, p.lastRun = result, now
	p.runs++
	if result.Outcome == OutcomeFail {
		p.failures++
	}
	if moved {
		p.since = now
	}
	if !moved && !p.news(result) {
		return nil
	}
	p.told = word{result.Outcome, result.Class.Hard(), result.Hint, result.Percent}
	return &Transition{Key: p.key, Status: next.Status, Result: result, At: now}
}

// word is what users of a probe were last told besides its status.
type word struct {
	outcome Outcome
	hard    bool
	hint    Hint
	percent int
}

// news tells whether a result that moves nothing says something else than the
// last that was told. On the way from up to down, or back, nothing is.
func (p *probe) news(r Result) bool {
	switch p.counter.Status {
	case StatusUp:
		return r.Outcome.passed() && (r.Outcome != p.told.outcome || r.Percent != p.told.percent || r.Hint != p.told.hint)
	case StatusDown:
		return r.Outcome == OutcomeFail && r.Class.Hard() != p.told.hard
	case StatusUnknown, StatusFalling, StatusRising:
	}
	return false
}

// dueFirst sets the first run of a new or changed probe: at its own place within
// the spread, which is the same for every start.
func (p *probe) dueFirst(now moment, spread time.Duration) {
	spread = min(spread, p.timing.Interval)
	p.slot = 0
	p.due = now + time.Duration(p.hash%uint64(spread))
}

// missed is how many slots have gone by while a run was in flight, or held.
func (p *probe) missed(now moment) uint64 {
	if p.slot == 0 {
		return 0
	}
	return uint64((now - p.slot) / p.interval())
}

// interval is the time between slots.
func (p *probe) interval() time.Duration {
	if p.counter.Status == StatusDown || p.counter.Status == StatusRising {
		return p.timing.DownInterval
	}
	return p.timing.Interval
}

// dueNext sets the run after one that started then and has ended now.
//
// Slots are one interval apart, at a phase that follows from the hash alone: they
// are the same after a reload, and those of many probes are spread evenly. The
// jitter is added to a slot and not to the run before, so that it does not add
// up. While the status is on the way there are no slots: the runs follow each
// other at the fast interval.
func (p *probe) dueNext(started, now moment) {
	if p.counter.moving() {
		p.slot = 0
		p.due = max(now, started+p.timing.FastInterval)
		return
	}
	interval := p.interval()
	phase := time.Duration(p.hash % uint64(interval))
	p.slot = now - (now-phase)%interval + interval
	if now < phase {
		p.slot = phase
	}
	p.due = p.slot + rand.N(interval/jitterShare+1)
}

func (p *probe) state(epoch time.Time) ProbeState {
	s := ProbeState{
		Key:        p.key,
		Timing:     *p.timing,
		Status:     p.counter.Status,
		Since:      p.since,
		Passes:     p.counter.Passes,
		Fails:      p.counter.Fails,
		Last:       p.last,
		LastRun:    p.lastRun,
		Running:    p.run != nil,
		Flaps:      p.counter.Flaps,
		Suppressed: p.counter.Suppressed,
		Runs:       p.runs,
		Failures:   p.failures,
	}
	if p.counter.Status == StatusUp || p.counter.Status == StatusFalling {
		s.Degraded, s.Percent, s.Hint = p.told.outcome == OutcomeDegraded, p.told.percent, p.told.hint
	}
	if p.group != nil {
		s.slots = p.group.slots
	}
	if p.index >= 0 {
		s.NextDue = epoch.Add(p.due)
	}
	return s
}

// hashOf places a probe. Directors have names of their own, so that two of them
// do not check a server at the same moment. It is FNV-1a.
func hashOf(seed string, key Key) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	var buffer [64]byte
	target := key.Target.AppendTo(buffer[:0])
	h := uint64(offset)
	for _, part := range [][]byte{[]byte(seed), []byte(key.Check), target} {
		for _, b := range part {
			h = (h ^ uint64(b)) * prime
		}
		h *= prime // a zero between the parts
	}
	return mix(h)
}

// mix spreads the low bits of a hash over all (the finalizer of SplitMix64):
// keys differ in few of them.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// queue is a heap of probes, the one that is due first on top. It implements
// heap.Interface.
type queue []*probe

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) remove(p *probe) { heap.Remove(q, p.index) }

func (q *queue) Push(x any) {
	p := x.(*probe)
	p.index = len(*q)
	*q = append(*q, p)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	p.index = -1
	return p
}
