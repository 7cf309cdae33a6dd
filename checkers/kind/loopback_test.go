// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// TestSchedulerOnLoopback runs real checks in real time, while others set and
// look: for the race detector, and for what a synctest bubble cannot hold.
func TestSchedulerOnLoopback(t *testing.T) {
	server, gone := serve(t, func(net.Conn) {}), freePort(t)
	timing := checkers.Timing{Interval: 20 * time.Millisecond, FastInterval: 10 * time.Millisecond, Timeout: 5 * time.Second, Rise: 1, Fall: 1}
	tcp := mustTCP(t, Dialer{}.Dial)
	probes := []checkers.Probe{
		{Key: checkers.Key{Check: "a", Target: server}, Checker: tcp, Timing: timing},
		{Key: checkers.Key{Check: "b", Target: server}, Checker: tcp, Timing: timing},
		{Key: checkers.Key{Check: "a", Target: gone}, Checker: tcp, Timing: timing},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	heard := map[checkers.Key]checkers.Status{}
	s := checkers.NewScheduler(checkers.Options{Shards: 3, OnTransition: func(tr checkers.Transition) {
		if was, ok := heard[tr.Key]; ok {
			t.Errorf("%s went from %s to %s", tr.Key, was, tr.Status)
		}
		heard[tr.Key] = tr.Status
	}})
	var others sync.WaitGroup
	others.Go(func() {
		defer cancel()
		s.Set(probes)
		young := func(p checkers.ProbeState) bool { return p.Runs < 10 }
		for ctx.Err() == nil && slices.ContainsFunc(s.Snapshot(), young) {
			s.Set(probes)
			s.Stats()
			time.Sleep(time.Millisecond)
		}
	})
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	others.Wait()
	want := map[checkers.Key]checkers.Status{probes[0].Key: checkers.StatusUp, probes[1].Key: checkers.StatusUp, probes[2].Key: checkers.StatusDown}
	if !maps.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}
