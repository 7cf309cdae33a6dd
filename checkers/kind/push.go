// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// Push is what somebody told the daemon of a server.
type Push struct {
	Outcome checkers.Outcome // pass, degraded or fail
	Message string
	Percent int           // of the weight, 1 to checkers.MaxPercent; zero: it says none
	TTL     time.Duration // how long it holds; zero: as the check says
}

// Pushes keeps the newest Push for each probe of kind push, for as long as the
// daemon lives.
type Pushes struct {
	mu    sync.Mutex
	boxes map[checkers.Key]*box
}

// box is what was pushed to one probe.
type box struct {
	since time.Time // when it was first looked into, or pushed to
	push  Push
	at    time.Time // zero: nothing was pushed yet
}

// NewPushes makes one that holds nothing.
func NewPushes() *Pushes { return &Pushes{boxes: map[checkers.Key]*box{}} }

// Put replaces what was pushed to a probe.
func (p *Pushes) Put(key checkers.Key, push Push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.box(key)
	b.push, b.at = push, time.Now()
}

// Keep forgets all probes but these, which a configuration still has.
func (p *Pushes) Keep(wanted func(checkers.Key) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.boxes {
		if !wanted(key) {
			delete(p.boxes, key)
		}
	}
}

func (p *Pushes) look(key checkers.Key) box {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.box(key)
}

func (p *Pushes) box(key checkers.Key) *box {
	b := p.boxes[key]
	if b == nil {
		b = &box{since: time.Now()}
		p.boxes[key] = b
	}
	return b
}

// pushCheck passes on what was pushed last, as long as it holds. Silence is a
// failure; only after the daemon's start, until the first push could have
// come, is it unknown.
type pushCheck struct {
	pushes *Pushes
	name   string // of the check
	ttl    time.Duration
}

func pushOptions() []Option {
	return []Option{
		{Name: "ttl", Form: FormDuration, Default: "1m", Doc: "How long a push holds that does not say so itself, and how long the first one is waited for. Silence for longer is a failure."},
	}
}

func newPush(env Env, o *options) checkers.Checker {
	return &pushCheck{pushes: env.Pushes, ttl: o.duration("ttl", time.Minute, time.Second, 24*time.Hour)}
}

// Named tells a checker the name of its check, if it has a use for it.
func Named(c checkers.Checker, name string) checkers.Checker {
	if p, ok := c.(*pushCheck); ok {
		return &pushCheck{p.pushes, name, p.ttl}
	}
	return c
}

// Check implements Checker.
func (p *pushCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "push "+p.name)
	if p.pushes == nil {
		return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "only the daemon knows what was pushed")
	}
	b := p.pushes.look(checkers.Key{Check: p.name, Target: target})
	if b.at.IsZero() {
		if time.Since(b.since) < p.ttl {
			return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "nothing was pushed yet")
		}
		return a.fail(checkers.ClassStalled, "nothing was pushed within %v", p.ttl)
	}
	ttl := p.ttl
	if b.push.TTL > 0 {
		ttl = b.push.TTL
	}
	if silence := time.Since(b.at); silence > ttl {
		return a.fail(checkers.ClassStalled, "nothing was pushed for %v, the last word held for %v", silence.Round(time.Second), ttl)
	}
	said := b.push.Message
	if said == "" {
		said = b.push.Outcome.String()
	}
	switch b.push.Outcome {
	case checkers.OutcomePass:
		r := a.pass("%s", said)
		r.Percent = b.push.Percent
		return r
	case checkers.OutcomeDegraded:
		return a.degraded(b.push.Percent, "%s", said)
	case checkers.OutcomeFail, checkers.OutcomeUnknown:
	}
	return a.fail(checkers.ClassModule, "%s", said)
}
