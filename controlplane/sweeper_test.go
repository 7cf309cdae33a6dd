// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/maps"
)

func TestSweeperTakesItsTime(t *testing.T) {
	for _, tc := range []struct {
		name  string
		took  time.Duration
		hurry bool
		want  int // sweeps in 100 s
	}{
		{"few flows", time.Millisecond, false, 20},
		{"many flows", 250 * time.Millisecond, false, 4}, // 25 s between them
		{"few flows, in a hurry", time.Millisecond, true, 100},
		{"many flows, in a hurry", 250 * time.Millisecond, true, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				s := newSweeper(func() (maps.Census, error) {
					n++
					time.Sleep(tc.took)
					return maps.Census{Total: n}, nil
				}, func() bool { return tc.hurry }, slog.New(slog.DiscardHandler))
				if _, at := s.Census(); !at.IsZero() {
					t.Error("there was a sweep before the first")
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- s.Run(ctx) }()
				time.Sleep(100 * time.Second)
				synctest.Wait()
				if n != tc.want {
					t.Errorf("%d sweeps, want %d", n, tc.want)
				}
				if census, at := s.Census(); census.Total != n || at.IsZero() {
					t.Errorf("census %+v at %v, want that of sweep %d", census, at, n)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestSweeperFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var broken atomic.Bool
		sweep := func() (maps.Census, error) {
			if broken.Load() {
				return maps.Census{}, errInjected
			}
			return maps.Census{Total: 7}, nil
		}
		s := newSweeper(sweep, func() bool { return false }, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		for _, next := range []bool{false, true, false, true} {
			broken.Store(next)
			time.Sleep(time.Minute)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "it will be tried again"); n != 2 {
			t.Errorf("two failures were logged %d times:\n%s", n, log.String())
		}
		if census, _ := s.Census(); census.Total != 7 {
			t.Errorf("census %+v, want that of the last sweep that went well", census)
		}
	})
}
