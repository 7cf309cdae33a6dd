// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// patience is how long a connection is kept for the next run. It also bounds how
// long one outlives a check that a reload has taken away.
const patience = 2 * time.Minute

// keeper keeps a connection for each target between runs; nil keeps none.
type keeper struct {
	mu    sync.Mutex
	lines map[keeperKey]*keptLine
}

type keptLine struct {
	*line
	timer *time.Timer
}

// keeperKey is where a connection leads, and by which way: that of another
// server behind the same service is another one.
type keeperKey struct {
	target netip.AddrPort
	origin Origin
	errand errand
}

func keyOf(ctx context.Context, target netip.AddrPort) keeperKey {
	key := keeperKey{target: target}
	key.origin, _ = ctx.Value(originKey{}).(Origin)
	if e, ok := ctx.Value(errand{}).(*errand); ok {
		key.errand = *e
	}
	return key
}

// take hands out the connection to a target, or nil.
func (k *keeper) take(ctx context.Context, target netip.AddrPort) *line {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key := keyOf(ctx, target)
	kept, ok := k.lines[key]
	if !ok {
		return nil
	}
	delete(k.lines, key)
	kept.timer.Stop()
	return kept.line
}

// put keeps a connection for a while, if it is worth it.
func (k *keeper) put(ctx context.Context, target netip.AddrPort, l *line) bool {
	if k == nil || !l.again() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key := keyOf(ctx, target)
	if _, ok := k.lines[key]; ok {
		return false
	}
	if k.lines == nil {
		k.lines = map[keeperKey]*keptLine{}
	}
	kept := &keptLine{line: l}
	kept.timer = time.AfterFunc(patience, func() { k.drop(key, kept) })
	k.lines[key] = kept
	return true
}

// drop closes a connection that nobody has asked for.
func (k *keeper) drop(key keeperKey, kept *keptLine) {
	k.mu.Lock()
	waiting := k.lines[key] == kept
	if waiting {
		delete(k.lines, key)
	}
	k.mu.Unlock()
	if waiting {
		kept.close(context.Background())
	}
}
