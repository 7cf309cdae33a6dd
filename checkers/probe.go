// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// probe is a Probe with its state. Its shard's lock guards it.
//
// It is in one of three places: in the shard's queue (index is not negative), in
// its target's line of waiting probes, or in flight (run is set).
type probe struct {
	Probe
	hash uint64 // of key and seed: the probe's place in time

	due   time.Time
	slot  time.Time // that the next run, or the one in flight, serves; zero where none
	index int       // in the queue; -1 outside it
	run   *run
	gone  bool // removed while in flight; it stays until the run returns

	counter  Counter
	told     word
	since    time.Time
	last     Result
	lastRun  time.Time
	runs     uint64
	failures uint64
}

// run is one run in flight.
type run struct {
	started time.Time
	late    time.Duration // after it was due
	held    bool          // it is late because it waited for its place on the target
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

// replace takes a new checker and timing. The status stays, so that a reload
// makes no server unknown, but the results in a row were of another check.
func (p *probe) replace(with Probe) {
	p.callOff()
	p.Probe = with
	p.counter = p.counter.renewed()
}

// take counts one result, at a time since the epoch that now is. It returns the
// transition that the result makes, or nil.
func (p *probe) take(result Result, at time.Duration, now time.Time) *Transition {
	next, moved := p.counter.Next(result, &p.Timing, at)
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
	return &Transition{Key: p.Key, Status: next.Status, Result: result, At: now}
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
func (p *probe) dueFirst(now time.Time, spread time.Duration) {
	spread = min(spread, p.Timing.Interval)
	p.slot = time.Time{}
	p.due = now.Add(time.Duration(p.hash % uint64(spread)))
}

// missed is how many slots have gone by while a run was in flight, or held.
func (p *probe) missed(now time.Time) uint64 {
	if p.slot.IsZero() {
		return 0
	}
	return uint64(now.Sub(p.slot) / p.interval())
}

// interval is the time between slots.
func (p *probe) interval() time.Duration {
	if p.counter.Status == StatusDown || p.counter.Status == StatusRising {
		return p.Timing.DownInterval
	}
	return p.Timing.Interval
}

// dueNext sets the run after one that started then and has ended now.
//
// Slots are one interval apart, at a phase that follows from the hash alone: they
// are the same after a reload, and those of many probes are spread evenly. The
// jitter is added to a slot and not to the run before, so that it does not add
// up. While the status is on the way there are no slots: the runs follow each
// other at the fast interval.
func (p *probe) dueNext(epoch, started, now time.Time) {
	if p.counter.moving() {
		p.slot = time.Time{}
		p.due = started.Add(p.Timing.FastInterval)
		if p.due.Before(now) {
			p.due = now
		}
		return
	}
	interval := p.interval()
	phase := time.Duration(p.hash % uint64(interval))
	first := epoch.Add(phase)
	p.slot = first
	if !now.Before(first) {
		p.slot = first.Add((now.Sub(first)/interval + 1) * interval)
	}
	p.due = p.slot.Add(rand.N(interval/jitterShare + 1))
}

func (p *probe) state() ProbeState {
	s := ProbeState{
		Key:        p.Key,
		Timing:     p.Timing,
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
	if p.index >= 0 {
		s.NextDue = p.due
	}
	return s
}

// hashOf places a probe. Directors have names of their own, so that two of them
// do not check a server at the same moment.
func hashOf(seed string, key Key) uint64 {
	h := fnv.New64a()
	for _, part := range []string{seed, key.Check, key.Target.String()} {
		_, _ = h.Write([]byte(part)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return mix(h.Sum64())
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
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

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
