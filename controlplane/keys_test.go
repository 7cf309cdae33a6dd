// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// Directors whose clocks differ by less than half a period, and that have the
// same secret, take each other's cookies; each exchange may last half a period.
func TestSharedKeysAreTakenByOthers(t *testing.T) {
	secret := config.Secret{1}
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for made := begin; made.Before(begin.Add(2 * sharedPeriod)); made = made.Add(7 * time.Second) {
		key, _ := sharedKeys(secret, made)
		for late := -sharedPeriod/2 + time.Second; late < sharedPeriod/2; late += 7 * time.Second {
			current, also := sharedKeys(secret, made.Add(late))
			if key != current && key != also {
				t.Fatalf("made at %s, unknown %s later", made, late)
			}
		}
	}
	if a, _ := sharedKeys(config.Secret{2}, begin); a == sharedKey(secret, begin.UnixNano()/int64(sharedPeriod)) {
		t.Error("two secrets make the same key")
	}
}

func TestSharedKeysAreFixed(t *testing.T) {
	// openssl dgst -sha256 -mac HMAC over "maitred cookie key" and 8 bytes: a cluster
	// of two releases needs the same keys from the same secret.
	key := sharedKey(config.Secret{0: 0x53}, 1)
	if got, want := fmt.Sprintf("%x", key), "9968bdb14daef0a713fd91421e97d66b"; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
}

// keyBoard notes what it is told, and fails if it is to.
type keyBoard struct {
	mu    sync.Mutex
	lines []string
	err   error
	cfg   config.Config
}

func (k *keyBoard) RotateKey() error { return k.note("chance") }

func (k *keyBoard) SetKeys(current, also maps.CookieKey) error {
	return k.note(fmt.Sprintf("%x %x", current, also))
}

func (k *keyBoard) note(line string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(k.lines, line)
	return k.err
}

func (k *keyBoard) config() *config.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	cfg := k.cfg
	return &cfg
}

// set changes what the locksmith meets.
func (k *keyBoard) set(secret config.Secret, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cfg.Director.CookieSecret, k.err = secret, err
}

// take returns what was noted since it was called last.
func (k *keyBoard) take() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	lines := k.lines
	k.lines = nil
	return lines
}

func TestLocksmith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &keyBoard{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		l := locksmith{board, board.config, slog.New(slog.DiscardHandler)}
		go func() { done <- l.Run(ctx) }()
		after := func(d time.Duration) []string {
			time.Sleep(d)
			synctest.Wait()
			return board.take()
		}
		if got := after(keyPeriod - time.Millisecond); len(got) != 0 {
			t.Fatalf("keys of chance changed too early: %v", got)
		}
		if got := after(2 * time.Millisecond); len(got) != 1 {
			t.Fatalf("keys of chance in a period: %v", got)
		}
		// A failure is tried again at once, and not a period later.
		board.set(config.Secret{}, errors.New("no memory"))
		after(keyPeriod)
		if got := after(3 * keyCheck); len(got) != 3 {
			t.Errorf("%d tries in three seconds after a failure", len(got))
		}
		// From the next second on the secret is what keys are made from.
		board.set(config.Secret{9}, nil)
		current, also := sharedKeys(config.Secret{9}, time.Now())
		got := after(2 * keyCheck)
		if want := fmt.Sprintf("%x %x", current, also); len(got) == 0 || got[0] != want {
			t.Errorf("keys %s, want %s", got, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
