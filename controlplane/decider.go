// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// decider owns the State: one goroutine applies one event after another, and
// tells everybody of the outcome. Whoever only reads takes a snapshot.
type decider struct {
	setProbes func([]checkers.Probe)
	update    func(state.State)
	settle    func(*config.Config) // before the probes of a new configuration; may be nil
	events    *api.Events
	log       *slog.Logger

	state    state.State // of Run alone
	snapshot atomic.Pointer[state.State]
	decided  chan struct{} // closed once every service is
	gone     chan struct{} // closed when Run ends

	mu    sync.Mutex
	inbox []letter
	wake  chan struct{}
}

// letter is events on their way to the decider; one without any only asks whether
// it is alive.
type letter struct {
	events []state.Event
	done   chan struct{} // closed when they were applied; nil if nobody waits
}

func newDecider(events *api.Events, log *slog.Logger) *decider {
	d := &decider{
		events: events, log: log, state: state.New(),
		decided: make(chan struct{}), gone: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	first := d.state
	d.snapshot.Store(&first)
	return d
}

func (d *decider) String() string { return "decider" }

// Run applies events until ctx ends, and then those that are still queued.
func (d *decider) Run(ctx context.Context) error {
	defer close(d.gone)
	timer := time.NewTimer(0) // a tick too many does no harm
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			d.applyAll(d.take())
			return nil
		case <-d.wake:
			d.applyAll(d.take())
		case <-timer.C:
			d.applyAll([]letter{{events: []state.Event{state.Tick{}}}})
		}
		timer.Stop()
		if at, ok := d.state.Next(); ok {
			timer.Reset(time.Until(at))
		}
	}
}

// probed takes a transition. It never blocks: the prober may call it while the
// decider waits to hand it new probes.
func (d *decider) probed(t checkers.Transition) { d.note(state.Probed{Transition: t}) }

// note takes an event and does not wait.
func (d *decider) note(e state.Event) { d.post(letter{events: []state.Event{e}}) }

// ask returns once the events are applied, together.
func (d *decider) ask(events ...state.Event) error {
	done := make(chan struct{})
	d.post(letter{events: events, done: done})
	select {
	case <-done:
		return nil
	case <-d.gone:
		return errors.New("the daemon is stopping")
	}
}

// alive returns once the decider has come round, and costs nothing else: no event is
// applied.
func (d *decider) alive() error { return d.ask() }

func (d *decider) post(l letter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inbox = append(d.inbox, l)
	select {
	case d.wake <- struct{}{}:
	default: // it will find this letter when it comes for the one before
	}
}

func (d *decider) take() []letter {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.inbox
	d.inbox = nil
	return all
}

// applyAll applies a batch, so that what changed together is decided and handed
// on together.
func (d *decider) applyAll(batch []letter) {
	var events []state.Event
	for _, l := range batch {
		events = append(events, l.events...)
	}
	if len(events) > 0 {
		next, changes := state.Apply(d.state, time.Now(), events...)
		reloaded := next.Config != d.state.Config
		same := onlyMeasured(events) && sameDecisions(d.state, next)
		d.state = next
		if !same {
			d.update(next)
		}
		d.snapshot.Store(&next) // now the kernel is known to lag behind: a status shows both
		if reloaded && d.settle != nil {
			d.settle(next.Config)
		}
		if reloaded {
			d.setProbes(state.Probes(next.Config))
		}
		d.tell(changes)
		d.checkDecided()
	}
	for _, l := range batch {
		if l.done != nil {
			close(l.done)
		}
	}
}

// onlyMeasured tells whether nothing has come but loads, which do every second.
func onlyMeasured(events []state.Event) bool {
	return !slices.ContainsFunc(events, func(e state.Event) bool { _, measured := e.(state.Measured); return !measured })
}

// sameDecisions tells whether two states want the same of the kernel, where they have
// the same configuration. Time may have changed servers besides what was measured.
func sameDecisions(a, b state.State) bool {
	servers := maps.EqualFunc(a.Servers, b.Servers, func(a, b state.Server) bool {
		return a.Verdict == b.Verdict && a.Weight == b.Weight
	})
	return servers && maps.EqualFunc(a.Services, b.Services, func(a, b state.Service) bool {
		a.Reason, a.Overload, b.Reason, b.Overload = "", state.Overload{}, "", state.Overload{}
		return a == b
	})
}

func (d *decider) tell(changes []state.Change) {
	for _, c := range changes {
		level := slog.LevelInfo
		if c.Step {
			level = slog.LevelDebug
		}
		d.log.Log(context.Background(), level, "changed", "kind", string(c.Kind), "name", c.Name, "from", c.From, "to", c.To, "reason", c.Reason)
		d.events.Publish(api.Event{
			At: c.At.UTC(), Kind: string(c.Kind), Name: c.Name, From: c.From, To: c.To, Reason: c.Reason, Step: c.Step,
		})
	}
}

func (d *decider) checkDecided() {
	select {
	case <-d.decided:
		return
	default:
	}
	for _, s := range d.state.Services {
		if s.Mode == state.ModePending {
			return
		}
	}
	close(d.decided)
}
