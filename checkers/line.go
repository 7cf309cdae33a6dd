// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"net/netip"
	"slices"
)

// PerTarget is how many runs may be in flight on one target, so that one that
// swallows packets does not gather runs; those of each group of Limited checks
// are counted for themselves. Others never wait for it. Those on it take turns,
// first come first served: Budgets counts with that.
const PerTarget = 2

// place names what runs that could get in each other's way on a target share.
// Groups have places of their own: who waits for a slot keeps its place.
type place struct {
	target netip.AddrPort
	group  *group
}

// line is probes that take turns: some are in, the others wait.
type line struct {
	in      int
	waiting []*probe
}

// group is the probes that share slots. All of them are in one shard.
type group struct {
	slots Slots
	line
}

// join takes one of the places that there are, or puts the probe in the line.
func (l *line) join(p *probe, places int) bool {
	if l.in >= places {
		l.waiting = append(l.waiting, p)
		p.held = true
		return false
	}
	l.in++
	return true
}

// leave gives a place up and returns who has it now: nil if nobody.
func (l *line) leave(places int) *probe {
	if len(l.waiting) == 0 || l.in > places {
		l.in--
		return nil
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	return next
}

// quit takes a probe out of the line, if it waits there.
func (l *line) quit(p *probe) bool {
	i := slices.Index(l.waiting, p)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// admit starts the run of a probe that is due, or makes it wait for its place on
// the target.
func (s *shard) admit(ctx context.Context, p *probe) {
	at := p.place()
	l := s.places[at]
	if l == nil {
		l = &line{}
		s.places[at] = l
	}
	p.held = false
	if l.join(p, PerTarget) {
		s.placed(ctx, p)
	}
	if p.held {
		s.tally.held++
	}
}

// placed starts the run of a probe that has its place on the target, or makes it
// wait for a slot of its group.
func (s *shard) placed(ctx context.Context, p *probe) {
	if p.group == nil || p.group.join(p, p.group.slots.Most) {
		s.start(ctx, p)
	}
}

// release gives what a run took to those that wait for it.
func (s *shard) release(ctx context.Context, r *run) {
	if r.group != nil {
		if next := r.group.leave(r.group.slots.Most); next != nil {
			s.start(ctx, next)
		}
	}
	s.vacate(ctx, r.at)
}

// vacate gives a place on a target to the next in its line.
func (s *shard) vacate(ctx context.Context, at place) {
	l := s.places[at]
	if next := l.leave(PerTarget); next != nil {
		s.placed(ctx, next)
	}
	if l.in == 0 {
		delete(s.places, at)
	}
}

// dequeue takes a probe out of the queue or of the line that it waits in. It
// starts nothing: those who waited for its place are due at once.
func (s *shard) dequeue(p *probe) {
	at := p.place()
	l := s.places[at]
	switch {
	case p.index >= 0:
		s.queue.remove(p)
	case p.group != nil && p.group.quit(p):
		// All of them: whoever has the other place may be taken out next, and then
		// nobody would be left to call those that still wait.
		for _, next := range l.waiting {
			s.enqueue(next)
		}
		l.waiting = nil
		if l.in--; l.in == 0 {
			delete(s.places, at)
		}
	case l != nil:
		l.quit(p)
	}
}
