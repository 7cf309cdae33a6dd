// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := NewEnv(slog.New(slog.DiscardHandler))
		row, _ := NewTable(env).Lookup("push")
		made, err := row.New(m{"ttl": "1m"})
		if err != nil {
			t.Fatal(err)
		}
		checker := Named(made, "job")
		target := netip.MustParseAddrPort("192.0.2.7:0")
		key := checkers.Key{Check: "job", Target: target}
		want := func(outcome checkers.Outcome, class checkers.Class, percent int, message string) {
			t.Helper()
			r := checker.Check(t.Context(), target)
			if r.Outcome != outcome || r.Class != class || r.Percent != percent || r.Message != "push job: "+message {
				t.Errorf("got %+v\nwant %s %s %d %q", r, outcome, class, percent, message)
			}
		}
		want(checkers.OutcomeUnknown, checkers.ClassLocal, 0, "nothing was pushed yet")
		time.Sleep(time.Minute)
		want(checkers.OutcomeFail, checkers.ClassStalled, 0, "nothing was pushed within 1m0s")
		env.Pushes.Put(key, Push{Outcome: checkers.OutcomePass, Percent: 50, TTL: 30 * time.Second})
		want(checkers.OutcomePass, checkers.ClassNone, 50, "pass")
		time.Sleep(31 * time.Second)
		want(checkers.OutcomeFail, checkers.ClassStalled, 0, "nothing was pushed for 31s, the last word held for 30s")
		env.Pushes.Put(key, Push{Outcome: checkers.OutcomeDegraded, Message: "slow disk"})
		want(checkers.OutcomeDegraded, checkers.ClassNone, 0, "slow disk")
		time.Sleep(time.Minute)
		want(checkers.OutcomeDegraded, checkers.ClassNone, 0, "slow disk")
		env.Pushes.Put(key, Push{Outcome: checkers.OutcomeFail, Message: "the backup runs"})
		want(checkers.OutcomeFail, checkers.ClassModule, 0, "the backup runs")
		time.Sleep(time.Minute + time.Second)
		want(checkers.OutcomeFail, checkers.ClassStalled, 0, "nothing was pushed for 1m1s, the last word held for 1m0s")
		env.Pushes.Keep(func(k checkers.Key) bool { return k != key })
		want(checkers.OutcomeUnknown, checkers.ClassLocal, 0, "nothing was pushed yet")
	})
	if r := must(t, "push", nil).Check(t.Context(), netip.AddrPort{}); r.Outcome != checkers.OutcomeUnknown {
		t.Errorf("outside the daemon: %+v", r)
	}
}
