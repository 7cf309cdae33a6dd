// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// Factors are what the configured weight of a server is multiplied by. One that is
// 1, or 0, changes nothing.
type Factors struct {
	Checks   float64 // the product of the percents that its checks give
	Degraded float64 // of its pool
	Slow     float64 // of its slow start
	Operator float64 // what an operator has said
}

// product is what all factors make together.
func (f Factors) product() float64 {
	product := 1.0
	for _, factor := range []float64{f.Checks, f.Degraded, f.Slow, f.Operator} {
		if factor > 0 {
			product *= factor
		}
	}
	return product
}

// Text writes how the weight comes about: 100 x 50 % (checks) x 20 % (slow start).
func (f Factors) Text(base int) string {
	text := strconv.Itoa(base)
	if f.product() == 1 {
		return text + ", as configured"
	}
	for _, factor := range []struct {
		is float64
		of string
	}{{f.Checks, "checks"}, {f.Degraded, "degraded"}, {f.Slow, "slow start"}, {f.Operator, "operator"}} {
		if factor.is > 0 && factor.is != 1 {
			text += fmt.Sprintf(" x %s (%s)", percent(factor.is), factor.of)
		}
	}
	return text
}

// weigh gives a server its weight. It is computed from what holds now alone, so that
// it can't grow out of bounds.
func (s *Server) weigh(said Factors, now time.Time) {
	s.Weight, s.Factors = 0, Factors{}
	if !s.Verdict.Serves() {
		return
	}
	if s.Held {
		said = s.Gave // its checks say nothing now
	}
	said.Slow, said.Operator = s.slow(now), s.Override.Weight
	s.Factors = said
	s.Weight = int(min(max(math.Round(float64(s.Config.Weight)*said.product()), 1), math.MaxUint16))
}

// factors are what the checks of a server say of its weight. Where one that is
// degraded says how much is left, that stands in place of what its pool says.
func (s State) factors(pool config.Pool, checks []config.Check, c config.Server) Factors {
	f := Factors{Checks: 1, Degraded: 1}
	for _, check := range checks {
		p := s.Probes[probeKey(check, c)]
		switch {
		case !p.verdict().Serves():
		case p.Percent > 0:
			f.Checks *= float64(min(p.Percent, checkers.MaxPercent)) / 100
		case p.Outcome == checkers.OutcomeDegraded && pool.Degraded > 0:
			f.Degraded = pool.Degraded
		}
	}
	return f
}

// A slow start has at most so many steps, and each takes this time at least: with
// eBPF each makes the rings of the pool's services anew. Steps end at multiples of
// their length since 1970, so that servers of one slow start that come up together,
// or one after the other, have their steps together.
const (
	mostSteps    = 10
	shortestStep = time.Second
)

// steps are how many steps a slow start has, and how long each takes.
func steps(slowStart time.Duration) (n int64, each time.Duration) {
	n = max(min(mostSteps, int64(slowStart/shortestStep)), 1)
	return n, slowStart / time.Duration(n)
}

// slow is the part of its weight that the server has by now.
func (s *Server) slow(now time.Time) float64 {
	if s.Ramp.IsZero() {
		return 1
	}
	n, _ := steps(s.Config.SlowStart)
	return float64(max(s.step(now), 1)) / float64(n)
}

// step counts the steps that have ended since the slow start began.
func (s *Server) step(now time.Time) int64 {
	_, each := steps(s.Config.SlowStart)
	return now.UnixNano()/int64(each) - s.Ramp.UnixNano()/int64(each)
}

// warm begins the slow start of a server that serves, and ends it when its time is up.
func (s *Server) warm(was Server, now time.Time) {
	s.Ramp, s.Cold = was.Ramp, was.Cold || s.Verdict.fails()
	switch {
	case s.Config.SlowStart <= 0: // a reload may end it at any time
		s.Ramp = time.Time{}
	case s.Held: // it was never gone
	case !s.Verdict.Serves():
		s.Ramp = time.Time{}
	case s.Cold:
		s.Ramp = now
	}
	if s.Verdict.Serves() {
		s.Cold = false
	}
	s.Step = time.Time{}
	if s.Ramp.IsZero() {
		return
	}
	n, each := steps(s.Config.SlowStart)
	done := s.step(now)
	if done >= n {
		s.Ramp = time.Time{}
		return
	}
	ended := s.Ramp.UnixNano()/int64(each) + max(done, 1) + 1
	s.Step = time.Unix(0, ended*int64(each)).UTC()
}
