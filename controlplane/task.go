// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Task is a part that runs as long as the daemon does. Run returns nil when
// ctx ends; whatever it returns before stops the daemon.
type Task interface {
	Run(ctx context.Context) error
	fmt.Stringer
}

// runner runs tasks in one errgroup. They end in the reverse of the order in
// which they started, each before the next is told to: whom a task hands its
// work to outlives it.
type runner struct {
	group  *errgroup.Group
	failed context.Context // ends when a task fails
	base   context.Context
	stops  []func()
}

func newRunner(base context.Context) *runner {
	group, failed := errgroup.WithContext(base)
	return &runner{group: group, failed: failed, base: base}
}

func (r *runner) start(t Task) {
	ctx, cancel := context.WithCancel(r.base)
	done := make(chan struct{})
	r.stops = append(r.stops, func() { cancel(); <-done })
	r.group.Go(func() error {
		defer close(done)
		if err := t.Run(ctx); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		if ctx.Err() == nil {
			return fmt.Errorf("%s: ended without being asked to", t)
		}
		return nil
	})
}

// stop ends all tasks and returns the error of the first that failed.
func (r *runner) stop() error {
	for i := len(r.stops) - 1; i >= 0; i-- {
		r.stops[i]()
	}
	return r.group.Wait()
}

// task makes a Task of a function.
type task struct {
	name string
	run  func(ctx context.Context) error
}

func (t task) Run(ctx context.Context) error { return t.run(ctx) }
func (t task) String() string                { return t.name }
