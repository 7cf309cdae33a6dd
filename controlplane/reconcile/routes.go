// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"log/slog"

	"github.com/vishvananda/netlink"
)

// RouteWatcher notifies when a route changes.
type RouteWatcher struct {
	notify func()
	log    *slog.Logger
}

// NewRouteWatcher makes a watcher; notify must not block, and may be called very
// often.
func NewRouteWatcher(notify func(), log *slog.Logger) *RouteWatcher {
	return &RouteWatcher{notify, log}
}

// String names the watcher among the tasks of the daemon.
func (*RouteWatcher) String() string { return "routes" }

// Run watches as that of LinkWatcher does.
func (w *RouteWatcher) Run(ctx context.Context) error {
	return again(ctx, "routes", w.watch, w.notify, w.log)
}

// watch follows one subscription to its end.
func (w *RouteWatcher) watch(ctx context.Context) error {
	updates := make(chan netlink.RouteUpdate)
	done := make(chan struct{})
	if err := netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{}); err != nil {
		return err
	}
	defer drain(updates)
	defer close(done)
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-updates:
			if !ok {
				return nil
			}
			w.notify()
		}
	}
}
