// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// engine is the reconciler as the server sees it: it takes decisions.
type engine struct {
	*reconcile.Engine
	by   config.Forwarding // who forwards: never auto
	note string            // why
	log  *slog.Logger
	ways *ways // to the servers; nil where nobody asks
	// local is the sorry server of this machine; nil: there is none.
	local local

	mu   sync.Mutex
	last *state.State  // guarded by mu; nil until the first Update
	env  reconcile.Env // guarded by mu
	told map[string]bool
}

// Update derives what the kernel should hold.
func (e *engine) Update(s state.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	loaded := e.last == nil || e.last.Config != s.Config
	if loaded && e.ways != nil {
		e.env = e.ways.extend(s.Config, e.env)
	}
	if e.local != nil {
		e.local.Set(localSites(s))
	}
	e.last = &s
	e.derive()
}

// derive is called with mu held.
func (e *engine) derive() {
	e.env.Forwarding = e.by
	w := reconcile.Derive(*e.last, e.env)
	told := map[string]bool{}
	for _, notice := range w.Notices {
		if told[notice] = true; !e.told[notice] {
			e.log.Warn("not all can be forwarded as it is wanted", "why", notice)
		}
	}
	e.told = told
	e.Engine.Update(w)
}

// Resync calls for a pass, and for a look at the ways to the servers.
func (e *engine) Resync() {
	if e.ways != nil {
		e.ways.look()
	}
	e.Engine.Resync()
}

// reroute looks up all ways anew, and derives again if one has changed.
func (e *engine) reroute() {
	e.mu.Lock()
	last, before := e.last, e.env
	e.mu.Unlock()
	if last == nil {
		return
	}
	now := e.ways.survey(last.Config, before)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.last.Config != last.Config:
		e.ways.look() // a reload has come in between
	case !sameWays(now, e.env):
		e.env = now
		e.derive()
	}
}

// shedsByConnections tells whether a service sheds by the connections that are open.
func (e *engine) shedsByConnections() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last != nil && slices.ContainsFunc(e.last.Config.Services, func(c config.Service) bool {
		return c.Shed.Connections > 0 || c.Shed.Overloaded
	})
}

// known is what the engine knows of this machine.
func (e *engine) known() reconcile.Env {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.env
}

// Forwarding tells who forwards to real servers, and why.
func (e *engine) Forwarding(config.Forwarding) (by, note string) { return string(e.by), e.note }

// Refuse tells what of a configuration the engine that forwards cannot do.
func (e *engine) Refuse(cfg *config.Config) []error { return cfg.Refuse(e.by) }

// Targets tells how well each part of the kernel agrees.
func (e *engine) Targets() []api.Target {
	status := e.Status()
	out := make([]api.Target, 0, len(status))
	for _, s := range status {
		out = append(out, api.Target{
			Name: s.Name, InSync: s.InSync, Rows: s.Rows, Repairs: s.Repairs, Errors: s.Errors,
			LastError: s.LastError, LastSync: s.LastSync.UTC(),
		})
	}
	return out
}
