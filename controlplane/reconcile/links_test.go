// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// TestLinkWatcher is told of an interface that goes, comes, and changes its state.
func TestLinkWatcher(t *testing.T) {
	w := newWire(t)
	told := make(chan struct{}, 100)
	watcher := reconcile.NewLinkWatcher(func() { told <- struct{}{} }, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.director.Do(func() error { return watcher.Run(ctx) }) }()
	await := func(what string) {
		t.Helper()
		select {
		case <-told:
		case err := <-ended:
			t.Fatalf("ended with %v before %s", err, what)
		case <-time.After(10 * time.Second):
			t.Fatalf("not told of %s", what)
		}
	}
	await("lo, which is there")
	await("eth0, which is there")
	steps := []struct {
		name string
		do   func() error
	}{
		{"down", func() error { return w.director.Down("eth0") }},
		{"up", func() error { return w.director.Up("eth0") }},
		{"gone", func() error { return w.director.Delete("eth0") }},
		{"back", func() error { w.plug(t); return nil }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		await(s.name)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("does not end")
	}
}

// TestLinkWatcherSubscribesAgain goes on through a time in which no subscription
// can be had, and calls for a pass at every try.
func TestLinkWatcherSubscribesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{}
		told, tries := 0, 0
		watcher := reconcile.NewLinkWatcher(func() { told++ }, r.logger())
		watcher.SubscribeBy(func(updates chan<- netlink.LinkUpdate, done <-chan struct{}, _ netlink.LinkSubscribeOptions) error {
			switch tries++; tries {
			case 1: // broken off at once
				close(updates)
			case 2, 3, 4:
				return unix.EMFILE
			default:
				go func() { <-done; close(updates) }()
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- watcher.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if tries != 5 || told != 4 {
			t.Errorf("%d tries and %d calls for a pass, want 5 and 4", tries, told)
		}
		if n := strings.Count(r.log.String(), "not watched"); n != 1 {
			t.Errorf("it was logged %d times:\n%s", n, r.log.String())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}
