// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"sync"
	"time"
)

// steps are those of one run; a check may tell them from several goroutines.
type steps struct {
	mu   sync.Mutex
	seen []checkStep
}

func (s *steps) add(at time.Duration, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, checkStep{millis(at), what})
}

func (s *steps) all() []checkStep {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}
