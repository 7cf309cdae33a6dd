// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// tracked is a target with what the engine remembers of it.
type tracked struct {
	Target
	synced *Want  // the last that it agreed with; nil: none yet
	told   string // the error that was last told of; empty: it agreed
	status TargetStatus

	// Of this pass:
	errs    []error
	held    bool // something was held back
	changed bool // something was done
}

// step is an effect in the plan of a pass.
type step struct {
	Effect
	of     *tracked
	repair bool // it would be due though nothing new was wanted
}

// once makes one pass: read all, then carry out what differs in the order of the
// ranks.
func (e *Engine) once(ctx context.Context, want *Want) error {
	var steps []step
	readable, failed := true, map[Group]bool{}
	for _, t := range e.targets {
		t.errs, t.held, t.changed = nil, false, false
		has, err := t.Read(ctx)
		if err != nil {
			t.errs = append(t.errs, fmt.Errorf("read %s: %w", t.Name(), err))
			readable = readable && !t.Carries()
			failed[readGroup(t.Name())] = true
			continue
		}
		t.status.Rows = has.Rows()
		steps = append(steps, t.plan(has, want)...)
	}
	inOrder(steps)
	e.carryOut(ctx, steps, readable, failed, e.overtaken(want))
	return e.conclude(ctx, want)
}

// patience is how long a pass takes its time for all that is due, even where
// something newer is wanted: each of many in a row gets something done.
const patience = 100 * time.Millisecond

// overtaken tells of a pass that begins now whether what is slow is to be left to
// the next one.
func (e *Engine) overtaken(want *Want) func() bool {
	begin := time.Now()
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.want != want && time.Since(begin) > patience
	}
}

// plan lists what a target needs. What it would need as well for agreeing with
// what it once agreed with already, somebody else has undone.
func (t *tracked) plan(has Snapshot, want *Want) []step {
	var drift []Effect
	if t.synced != nil {
		drift = has.Plan(*t.synced)
	}
	undone := make(map[string]bool, len(drift))
	for _, effect := range drift {
		undone[effect.What] = true
	}
	var steps []step
	for _, effect := range has.Plan(*want) {
		steps = append(steps, step{Effect: effect, of: t, repair: undone[effect.What] && !effect.Tidy})
	}
	return steps
}

// carryOut does what can be done. While a target that carries packets is not
// readable, only what stands behind the others is put: nothing that turns packets
// towards it, and nothing that takes anything away.
func (e *Engine) carryOut(ctx context.Context, steps []step, readable bool, failed map[Group]bool, overtaken func() bool) {
	for _, s := range steps {
		blocked := failed[s.Group] || slices.ContainsFunc(s.Needs, func(g Group) bool { return failed[g] }) ||
			s.Yields && overtaken()
		if blocked || ctx.Err() != nil || !readable && s.Rank >= RankFirstRing {
			failed[s.Group] = true
			s.of.held = true
			continue
		}
		err := s.Do()
		if errors.Is(err, errLater) {
			continue
		}
		if err != nil {
			failed[s.Group] = true
			s.of.errs = append(s.of.errs, fmt.Errorf("%s: %w", s.What, err))
			continue
		}
		s.of.changed = true
		if s.repair {
			e.repaired(s)
			continue
		}
		e.log.Debug("kernel changed", "target", s.of.Name(), "what", s.What)
	}
}

func (e *Engine) repaired(s step) {
	s.of.status.Repairs++
	e.log.Warn("drift repaired", "target", s.of.Name(), "what", s.What)
	if e.onRepair != nil {
		e.onRepair(Drift{At: time.Now(), Target: s.of.Name(), What: s.What})
	}
}

// conclude publishes how the pass ended and returns its errors.
func (e *Engine) conclude(ctx context.Context, want *Want) error {
	var errs []error
	published := make([]TargetStatus, len(e.targets))
	for i, t := range e.targets {
		t.recount(ctx)
		e.record(t, want)
		errs = append(errs, t.errs...)
		if t.held && len(t.errs) == 0 {
			errs = append(errs, fmt.Errorf("%s: held back: %w", t.Name(), errHeld))
		}
		published[i] = t.status
	}
	e.mu.Lock()
	e.status = published
	if ctx.Err() == nil { // a pass that was cut short is none
		e.tried = want
	}
	e.mu.Unlock()
	return errors.Join(errs...)
}

// recount reads a target once more after changes, so that its status tells how
// it is and not how it was.
func (t *tracked) recount(ctx context.Context) {
	if !t.changed {
		return
	}
	has, err := t.Read(ctx)
	if err != nil {
		t.errs = append(t.errs, fmt.Errorf("read %s: %w", t.Name(), err))
		return
	}
	t.status.Rows = has.Rows()
}

// errHeld is why a target is not in sync though nothing of it failed.
var errHeld = errors.New("something that it waits for failed")

// record notes the outcome for one target. A failure that lasts is logged once.
func (e *Engine) record(t *tracked, want *Want) {
	s := &t.status
	err := errors.Join(t.errs...)
	s.Errors += uint64(len(t.errs))
	s.InSync = err == nil && !t.held
	if t.changed && !s.InSync && t.synced != want {
		t.synced = nil // our own hand has left it: what differs from it is no drift
	}
	switch {
	case s.InSync:
		s.LastError, s.LastSync, t.synced = "", time.Now(), want
		e.tell(t, "")
	case err == nil:
		s.LastError = "" // whatever it waits for has one
	default:
		s.LastError = err.Error()
		e.tell(t, s.LastError)
	}
}

// tell says what keeps the target out of sync, or with an empty text that
// nothing does any more, unless it has been said.
func (e *Engine) tell(t *tracked, trouble string) {
	before := t.told
	if trouble == before {
		return
	}
	t.told = trouble
	if trouble == "" {
		e.log.Info("kernel agrees again", "target", t.Name())
	} else {
		e.log.Error("cannot change the kernel", "target", t.Name(), "error", trouble)
	}
	if e.onTrouble != nil {
		e.onTrouble(Trouble{Target: t.Name(), Before: before, Now: trouble})
	}
}
