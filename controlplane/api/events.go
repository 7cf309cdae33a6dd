// SPDX-License-Identifier: Apache-2.0

package api

import "sync"

// Events keeps the last events and hands new ones to those who follow. Publish
// never waits for a reader: one that falls behind is cut.
type Events struct {
	mu        sync.Mutex
	ring      []Event
	seq       uint64
	followers map[*follower]struct{}
}

// kept is how many events are replayed at most; backlog is how many a follower
// may be behind before it is cut.
const (
	kept    = 1000
	backlog = 256
)

type follower struct{ c chan Event }

// NewEvents makes an empty list of events.
func NewEvents() *Events {
	return &Events{followers: make(map[*follower]struct{})}
}

// Publish numbers the event and hands it on.
func (l *Events) Publish(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq = l.seq
	if len(l.ring) == kept {
		l.ring = l.ring[1:]
	}
	l.ring = append(l.ring, e)
	for f := range l.followers {
		select {
		case f.c <- e:
		default:
			delete(l.followers, f)
			close(f.c)
		}
	}
}

// Past returns the kept events after the number since, at most the newest n.
func (l *Events) Past(since uint64, n int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.past(since, n)
}

// Follow returns the past as Past does, and a channel of all that comes after
// it. The channel is closed when its reader is cut, or by stop.
func (l *Events) Follow(since uint64, n int) (past []Event, next <-chan Event, stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &follower{c: make(chan Event, backlog)}
	l.followers[f] = struct{}{}
	return l.past(since, n), f.c, func() { l.cut(f) }
}

func (l *Events) cut(f *follower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.followers[f]; ok {
		delete(l.followers, f)
		close(f.c)
	}
}

func (l *Events) past(since uint64, n int) []Event {
	from := len(l.ring)
	for from > 0 && l.ring[from-1].Seq > since && len(l.ring)-from < n {
		from--
	}
	return append([]Event(nil), l.ring[from:]...)
}
