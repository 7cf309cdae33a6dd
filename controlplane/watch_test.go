// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func TestAttachmentWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, failure, asked := []api.Attachment{{Interface: "eth0", TC: true}}, error(nil), 0
		w := attachmentWatch{
			read:   func() ([]api.Attachment, error) { return list, failure },
			resync: func() { asked++ },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		expect := func(what string, want int) {
			t.Helper()
			time.Sleep(3 * watchPeriod)
			synctest.Wait()
			if asked != want {
				t.Errorf("%s: asked %d times, want %d", what, asked, want)
			}
			asked = 0
		}
		expect("nothing happens", 0)
		list = []api.Attachment{{Interface: "eth0"}}
		expect("a program is gone", 1)
		list = []api.Attachment{{Interface: "eth0", TC: true}}
		expect("it is back", 1)
		failure = errors.New("no folder")
		expect("it is not known", 1)
		failure = nil
		expect("it is known again", 1)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
