// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkState is what makes a link event worth a pass: an interface is there,
// under this name, and up.
type linkState struct {
	name string
	up   bool
}

// resubscribe is the pause after the kernel dropped our subscription, which it
// does when events come faster than they are read.
const resubscribe = time.Second

// WatchLinks calls changed when an interface appears, vanishes, is renamed,
// goes up or down, and whenever such an event may have been missed.
func WatchLinks(ctx context.Context, changed func()) error {
	for {
		if err := watchLinksOnce(ctx, changed); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(resubscribe):
			changed()
		}
	}
}

func watchLinksOnce(ctx context.Context, changed func()) error {
	updates := make(chan netlink.LinkUpdate)
	done := make(chan struct{})
	options := netlink.LinkSubscribeOptions{ListExisting: true, ErrorCallback: func(error) {}}
	if err := netlink.LinkSubscribeWithOptions(updates, done, options); err != nil {
		return fmt.Errorf("subscribe to link events: %w", err)
	}
	// The subscriber's goroutine ends by closing updates: drain it, so that it
	// is not left behind in a send.
	defer func() {
		for range updates {
		}
	}()
	defer close(done)
	seen := make(map[int32]linkState)
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			if !ok {
				return nil
			}
			if note(seen, u) {
				changed()
			}
		}
	}
}

// note brings seen up to date and tells whether anything changed that matters.
// Attaching a program makes an event as well: that one must not lead to a pass,
// or passes would never end.
func note(seen map[int32]linkState, u netlink.LinkUpdate) bool {
	was, known := seen[u.Index]
	if u.Header.Type == unix.RTM_DELLINK {
		delete(seen, u.Index)
		return known
	}
	is := linkState{name: u.Attrs().Name, up: u.Flags&unix.IFF_UP != 0}
	seen[u.Index] = is
	return !known || was != is
}
