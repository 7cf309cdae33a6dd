// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

const (
	// keyPeriod is the time between cookie keys of this machine's own: two are
	// valid at a time, so that an exchange may last that long at least.
	keyPeriod = 2 * time.Minute
	// sharedPeriod is how long the directors of a cluster make cookies with one
	// key. In the first half of it the key before is valid as well, in the second
	// the one that follows: so an exchange may last half of it at least, and clocks
	// may differ by as much.
	sharedPeriod = 4 * time.Minute
	keyCheck     = time.Second // between looks at the clock
)

// sharedKeys are the keys that are valid at a time: the one that cookies are made
// with, and another. All directors that have the secret have the same ones.
func sharedKeys(secret config.Secret, now time.Time) (current, also maps.CookieKey) {
	n, into := now.UnixNano()/int64(sharedPeriod), now.UnixNano()%int64(sharedPeriod)
	if into < int64(sharedPeriod)/2 {
		return sharedKey(secret, n), sharedKey(secret, n-1)
	}
	return sharedKey(secret, n), sharedKey(secret, n+1)
}

// sharedKey is the key of one period, by its number since 1970.
func sharedKey(secret config.Secret, n int64) maps.CookieKey {
	h := hmac.New(sha256.New, secret[:])
	// A hash never fails to be written to.
	_, _ = h.Write([]byte("maitred cookie key"))
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return maps.CookieKey(h.Sum(nil)[:len(maps.CookieKey{})])
}

// Keys changes the keys of cookies; maps.Maps is one.
type Keys interface {
	// RotateKey makes a key of chance, and keeps the one before valid.
	RotateKey() error
	SetKeys(current, also maps.CookieKey) error
}

// locksmith keeps the keys of cookies fresh.
type locksmith struct {
	keys   Keys
	config func() *config.Config
	log    *slog.Logger
}

func (locksmith) String() string { return "keys" }

// Run changes the keys when their time is up, by this machine's chance or by the
// secret of the configuration, until ctx ends. A failure leaves the keys that
// there are, and is tried again.
func (l locksmith) Run(ctx context.Context) error {
	changed := time.Now() // the keys of chance
	failed := ""
	turn := func() {
		var err error
		switch secret := l.config().Director.CookieSecret; {
		case secret != (config.Secret{}):
			err = l.keys.SetKeys(sharedKeys(secret, time.Now()))
		case time.Since(changed) >= keyPeriod:
			if err = l.keys.RotateKey(); err == nil {
				changed = time.Now()
			}
		}
		if err != nil && err.Error() != failed {
			l.log.Error("the key of the cookies stays", "error", err)
		}
		failed = ""
		if err != nil {
			failed = err.Error()
		}
	}
	turn()
	return every(ctx, keyCheck, turn)
}
