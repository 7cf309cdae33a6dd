// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
)

// broken is a check with a library that panics.
type broken struct{}

func (broken) Check(context.Context, netip.AddrPort) Result {
	panic("slice bounds out of range")
}

// TestPanic: a check that panics ends nothing but its own run, which says nothing
// of the server.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan string, 100)
		s := NewScheduler(Options{Shards: 1, OnPanic: func(key Key, what any, stack []byte) {
			if !strings.Contains(string(stack), "broken.Check") {
				t.Errorf("the stack does not tell where: %s", stack)
			}
			heard <- key.Check
		}})
		well := newFake(0)
		s.Set([]Probe{probeOf("bad", broken{}, usual), probeOf("good", well, usual)})
		ctx, stop := context.WithTimeout(t.Context(), 3*usual.Interval)
		defer stop()
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(heard) < 2 || <-heard != "bad" {
			t.Errorf("%d panics were told", len(heard))
		}
		if n := len(well.begun(at)); n < 2 {
			t.Errorf("the other check ran %d times", n)
		}
		for _, p := range s.Snapshot() {
			want := map[string]Status{"bad": StatusUnknown, "good": StatusUp}[p.Key.Check]
			if p.Status != want {
				t.Errorf("%s is %s: %+v", p.Key, p.Status, p.Last)
			}
			if p.Key.Check == "bad" && (p.Last.Class != ClassLocal || !strings.Contains(p.Last.Message, "the check itself failed")) {
				t.Errorf("its last result is %+v", p.Last)
			}
		}
	})
}
