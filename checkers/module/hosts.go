// SPDX-License-Identifier: Apache-2.0

package module

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Hosts are the modules of a daemon. A reload finds those that have not changed as
// they are, and forgets those that it has no use for.
type Hosts struct {
	log   *slog.Logger
	ctx   context.Context // of all hosts
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu  sync.Mutex
	all map[string]*Host
}

// NewHosts makes an empty set. It starts nothing.
func NewHosts(log *slog.Logger) *Hosts {
	ctx, end := context.WithCancel(context.Background())
	return &Hosts{log: log, ctx: ctx, end: end, all: map[string]*Host{}}
}

// Host is the host of a module. It starts nothing before the first call.
func (s *Hosts) Host(spec Spec) *Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.all[spec.key()]
	if h == nil {
		h = newHost(spec, s.log)
		s.all[spec.key()] = h
		ctx, end := context.WithCancel(s.ctx)
		h.end = end
		s.tasks.Go(func() { h.Run(ctx) })
	}
	return h
}

// Release ends the quarantine of a module, if it is in one: this is what a reload
// does.
func (s *Hosts) Release(spec Spec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.all[spec.key()]; h != nil {
		h.Release()
	}
}

// Keep forgets all modules but these, and ends their processes. It does not wait
// for them: Close does.
func (s *Hosts) Keep(specs []Spec) {
	wanted := make(map[string]bool, len(specs))
	for _, spec := range specs {
		wanted[spec.key()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, h := range s.all {
		if !wanted[key] {
			h.end()
			delete(s.all, key)
		}
	}
}

// Close ends all processes and waits for them.
func (s *Hosts) Close() {
	s.end()
	s.tasks.Wait()
}

// Status is what is to be told of a module.
type Status struct {
	Name     string    `json:"name"`
	Command  []string  `json:"command"`
	Phase    Phase     `json:"phase"`
	PID      int       `json:"pid,omitempty"`
	Parallel int       `json:"parallel,omitempty"` // calls that it takes at a time
	InFlight int       `json:"in_flight"`          // calls that are in it
	Calls    uint64    `json:"calls"`
	Late     uint64    `json:"late"` // that were not answered in time
	Starts   uint64    `json:"starts"`
	Crashes  uint64    `json:"crashes"`
	Until    time.Time `json:"until,omitzero"` // of a pause or a quarantine
	Why      string    `json:"why,omitempty"`  // it ended the last time
}

// Status tells of all modules that were called, in the order of their names.
func (s *Hosts) Status() []Status {
	s.mu.Lock()
	var hosts []*Host
	for _, h := range s.all {
		hosts = append(hosts, h)
	}
	s.mu.Unlock()
	var all []Status
	for _, h := range hosts {
		if one := h.Status(); one.Calls > 0 {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.Compare(a.Command, b.Command), cmp.Compare(a.PID, b.PID))
	})
	return all
}

// Status tells of the module.
func (h *Host) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Status{
		Name: h.spec.Name, Command: h.spec.Command, Phase: h.phase, Why: h.why,
		Calls: h.total.calls, Late: h.total.late, Starts: h.total.starts, Crashes: h.total.crashes,
	}
	if h.process != nil {
		s.PID = h.process.child.cmd.Process.Pid
		s.Parallel, s.InFlight = h.process.hello.Parallel, h.process.inFlight()
	}
	if h.phase == PhasePause || h.phase == PhaseQuarantine {
		s.Until = h.until
	}
	return s
}
