// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"log/slog"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkWatcher notifies when an interface comes, goes, is renamed, or changes
// between up and down, or with and without a carrier.
type LinkWatcher struct {
	notify    func()
	log       *slog.Logger
	subscribe func(chan<- netlink.LinkUpdate, <-chan struct{}, netlink.LinkSubscribeOptions) error
}

// NewLinkWatcher makes a watcher; notify must not block.
func NewLinkWatcher(notify func(), log *slog.Logger) *LinkWatcher {
	return &LinkWatcher{notify, log, netlink.LinkSubscribeWithOptions}
}

// String names the watcher among the tasks of the daemon.
func (*LinkWatcher) String() string { return "links" }

// Run watches, in the network namespace of the thread that it begins on, until
// ctx ends. The kernel breaks a subscription off when more happens than fits its
// buffer: then anything may have changed, and the next one begins. While none can
// be had it notifies at every try.
func (w *LinkWatcher) Run(ctx context.Context) error {
	return again(ctx, "interfaces", w.watch, w.notify, w.log)
}

// again watches what, one subscription after the other.
func again(ctx context.Context, what string, watch func(context.Context) error, notify func(), log *slog.Logger) error {
	backoff := shortBackoff
	for {
		err := watch(ctx)
		switch {
		case err == nil:
			backoff = shortBackoff
		case backoff == shortBackoff: // and no more until it works again
			log.Error("the kernel is not watched, it will be tried again", "what", what, "error", err)
		}
		if !pause(ctx, backoff) {
			return nil
		}
		if err != nil {
			backoff = min(2*backoff, longBackoff)
		}
		notify()
	}
}

// watch follows one subscription to its end.
func (w *LinkWatcher) watch(ctx context.Context) error {
	updates := make(chan netlink.LinkUpdate)
	done := make(chan struct{})
	options := netlink.LinkSubscribeOptions{ListExisting: true}
	if err := w.subscribe(updates, done, options); err != nil {
		return err
	}
	defer drain(updates)
	defer close(done)
	known := map[int]linkState{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			if !ok {
				return nil
			}
			if note(known, u) {
				w.notify()
			}
		}
	}
}

// linkState is what matters of an interface.
type linkState struct {
	name        string
	up, carrier bool
}

// note updates what is known and tells whether anything that matters changed.
func note(known map[int]linkState, u netlink.LinkUpdate) bool {
	attrs := u.Attrs()
	was, there := known[attrs.Index]
	if u.Header.Type == unix.RTM_DELLINK {
		delete(known, attrs.Index)
		return there
	}
	now := linkState{name: attrs.Name}
	now.up, now.carrier = linkFlags(attrs)
	known[attrs.Index] = now
	return !there || now != was
}

// drain takes what is still under way, so that the sender can end.
func drain[T any](updates <-chan T) {
	for range updates {
	}
}
