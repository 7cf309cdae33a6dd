// SPDX-License-Identifier: Apache-2.0

package checkers

import "sync"

// event is a result on its way out, with the transition that it brought.
type event struct {
	key        Key
	result     Result
	transition *Transition
}

// events carries results from the shards to the scheduler's callbacks, in
// order. Shards put them in while they hold their lock and never wait; one
// goroutine takes them out and holds none, so that a callback may call the
// scheduler.
type events struct {
	mu      sync.Mutex
	pending []event
	wake    chan struct{}
}

func newEvents() *events { return &events{wake: make(chan struct{}, 1)} }

func (e *events) put(one event) {
	e.mu.Lock()
	e.pending = append(e.pending, one)
	e.mu.Unlock()
	poke(e.wake)
}

func (e *events) take() []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	batch := e.pending
	e.pending = nil
	return batch
}

// deliver hands events to the handler until done is closed and none is left.
func (e *events) deliver(done <-chan struct{}, handle func(event)) {
	for open := true; open; {
		select {
		case <-e.wake:
		case <-done:
			open = false
		}
		for _, one := range e.take() {
			handle(one)
		}
	}
}

// poke wakes who waits for the channel, now or when it next looks.
func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
