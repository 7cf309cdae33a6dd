// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	lines []string
	err   error
}

func (k *keyBoard) RotateKey() error {
	k.lines = append(k.lines, "chance")
	return k.err
}

func (k *keyBoard) SetKeys(current, also maps.CookieKey) error {
	k.lines = append(k.lines, fmt.Sprintf("%x %x", current, also))
	return k.err
}

func TestLocksmith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := &keyBoard{}
		cfg := &config.Config{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		l := locksmith{board, func() *config.Config { return cfg }, slog.New(slog.DiscardHandler)}
		go func() { done <- l.Run(ctx) }()
		time.Sleep(keyPeriod - time.Millisecond)
		synctest.Wait()
		if len(board.lines) != 0 {
			t.Fatalf("keys of chance changed too early: %v", board.lines)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if len(board.lines) != 1 {
			t.Fatalf("keys of chance changed %d times in a period", len(board.lines))
		}
		// A failure is tried again at once, and not a period later.
		board.err = errors.New("no memory")
		time.Sleep(keyPeriod)
		synctest.Wait()
		failed := len(board.lines)
		time.Sleep(3 * keyCheck)
		synctest.Wait()
		if got := len(board.lines); got != failed+3 {
			t.Errorf("%d tries in three seconds after a failure", got-failed)
		}
		board.err = nil
		// From the next second on the secret is what keys are made from.
		cfg = &config.Config{Director: config.Director{CookieSecret: config.Secret{9}}}
		time.Sleep(2 * keyCheck)
		synctest.Wait()
		current, also := sharedKeys(config.Secret{9}, time.Now())
		if got, want := board.lines[len(board.lines)-1], fmt.Sprintf("%x %x", current, also); got != want {
			t.Errorf("keys %s, want %s", got, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
