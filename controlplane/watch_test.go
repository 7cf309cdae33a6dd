// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func TestAttachmentWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		list, failure, asked := []api.Attachment{{Interface: "eth0", TC: true}}, error(nil), 0
		w := attachmentWatch{
			read: func() ([]api.Attachment, error) {
				mu.Lock()
				defer mu.Unlock()
				return list, failure
			},
			resync: func() {
				mu.Lock()
				defer mu.Unlock()
				asked++
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		expect := func(what string, now []api.Attachment, err error, want int) {
			t.Helper()
			mu.Lock()
			list, failure = now, err
			mu.Unlock()
			time.Sleep(3 * watchPeriod)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if asked != want {
				t.Errorf("%s: asked %d times, want %d", what, asked, want)
			}
			asked = 0
		}
		there, gone := []api.Attachment{{Interface: "eth0", TC: true}}, []api.Attachment{{Interface: "eth0"}}
		expect("nothing happens", there, nil, 0)
		expect("a program is gone", gone, nil, 1)
		expect("it is back", there, nil, 1)
		expect("it is not known", there, errors.New("no folder"), 1)
		expect("it is known again", there, nil, 1)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
