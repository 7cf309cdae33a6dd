// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Engine makes the targets agree with the newest Want: at once when it changes,
// again after a failure, and every Resync whatever happens. Every pass reads the
// kernel back, so that it repairs what anybody else has changed.
type Engine struct {
	log       *slog.Logger
	resync    time.Duration
	onRepair  func(Drift)
	onTrouble func(Trouble)
	kick      chan struct{} // a pass is due

	pass    chan struct{} // holds a token during a pass
	targets []*tracked    // guarded by pass

	mu     sync.Mutex
	want   *Want          // guarded by mu; nil until the first Update
	tried  *Want          // guarded by mu; what the last pass was for
	status []TargetStatus // guarded by mu
}

// Options are what an Engine is made of.
type Options struct {
	Targets  []Target
	Logger   *slog.Logger
	Resync   time.Duration // between passes that nothing has called for
	OnRepair func(Drift)   // hears of every repair and must not block; may be nil
	// OnTrouble hears when a target begins to fail, fails otherwise, and agrees
	// again. It must not block, and may be nil.
	OnTrouble func(Trouble)
}

// Target is one part of the kernel.
type Target interface {
	Name() string
	// Carries tells whether packets need it: while it can't be read, nothing
	// else may turn packets towards it or take anything away.
	Carries() bool
	// Read reads back what the kernel holds of it.
	Read(ctx context.Context) (Snapshot, error)
}

// Snapshot is what a target held when it was read.
type Snapshot interface {
	Rows() int // that are ours
	// Plan lists what has to be done for the target to agree with w. It is pure.
	Plan(w Want) []Effect
}

// Drift is something that somebody else changed and a pass put right.
type Drift struct {
	At     time.Time
	Target string
	What   string // that was done
}

// Trouble is a change in what keeps a target from agreeing, one error a line;
// empty: nothing does.
type Trouble struct {
	Target      string
	Before, Now string
}

// The time between a change and the pass that it causes, in which further
// changes join; and the times between a failed pass and the next.
const (
	coalesce     = 20 * time.Millisecond
	shortBackoff = 100 * time.Millisecond
	longBackoff  = 5 * time.Second
)

// New makes an engine. Until the first Update it touches nothing.
func New(o Options) *Engine {
	e := &Engine{
		log: o.Logger, resync: o.Resync, onRepair: o.OnRepair, onTrouble: o.OnTrouble,
		kick: make(chan struct{}, 1), pass: make(chan struct{}, 1),
	}
	for _, t := range o.Targets {
		e.targets = append(e.targets, &tracked{Target: t, status: TargetStatus{Name: t.Name()}})
		e.status = append(e.status, TargetStatus{Name: t.Name()})
	}
	return e
}

// String names the engine among the tasks of the daemon.
func (e *Engine) String() string { return "reconcile" }

// Update makes w what is wanted and returns at once. Of several updates in a
// short time the newest wins.
func (e *Engine) Update(w Want) {
	e.mu.Lock()
	e.want = &w
	e.mu.Unlock()
	e.Resync()
}

// Resync calls for a pass and returns at once.
func (e *Engine) Resync() {
	select {
	case e.kick <- struct{}{}:
	default: // one is due already
	}
}

// Run makes passes until ctx ends, and then one more if something is wanted that
// none was made for: whoever stops the daemon finds its last decision in force,
// unless that pass fails, which is logged.
func (e *Engine) Run(ctx context.Context) error {
	backoff := shortBackoff
	next := time.NewTimer(e.resync)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			e.finish(ctx)
			return nil
		case <-next.C:
		case <-e.kick:
			if !pause(ctx, coalesce) {
				e.finish(ctx)
				return nil
			}
			e.settle()
		}
		if err := e.Sync(ctx); err != nil {
			next.Reset(min(backoff, e.resync))
			backoff = min(2*backoff, longBackoff)
			continue
		}
		next.Reset(e.resync)
		backoff = shortBackoff
	}
}

// lastPass is how long the pass at the end of Run may take.
const lastPass = 5 * time.Second

func (e *Engine) finish(ctx context.Context) {
	e.mu.Lock()
	done := e.want == e.tried
	e.mu.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPass)
	defer cancel()
	if err := e.Sync(ctx); err != nil {
		e.log.Error("the last pass failed, the kernel may lack the last decision", "error", err)
	}
}

// settle forgets a call for a pass that came during the pause: the pass that now
// begins sees its Want.
func (e *Engine) settle() {
	select {
	case <-e.kick:
	default:
	}
}

// Sync makes one pass, after the one that is under way, and returns what failed
// in it.
func (e *Engine) Sync(ctx context.Context) error {
	select {
	case e.pass <- struct{}{}:
		defer func() { <-e.pass }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the pass before: %w", ctx.Err())
	}
	e.mu.Lock()
	want := e.want
	e.mu.Unlock()
	if want == nil {
		return nil
	}
	return e.once(ctx, want)
}

// Withdraw takes out of the kernel all that is maitred's. Nothing is put back
// until the next Update.
func (e *Engine) Withdraw(ctx context.Context) error {
	e.mu.Lock()
	e.want = &Want{}
	e.mu.Unlock()
	return e.Sync(ctx)
}

// pause waits for d and tells whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
