// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	kernel "github.com/maitred-lb/maitred/maps"
)

// Rings tells how new flows are shared out.
type Rings interface {
	// Slots counts the slots of each server in the ring of a virtual service;
	// false where there is no ring.
	Slots(s state.State, v config.Virtual) (map[kernel.ServerID]int, bool)
}

// Slots implements Rings.
func (e *engine) Slots(s state.State, v config.Virtual) (map[kernel.ServerID]int, bool) {
	return reconcile.Derive(s, e.known()).Slots(v)
}

// Notices implements Engine.
func (e *engine) Notices() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	notices := slices.Sorted(maps.Keys(e.told))
	if e.local != nil && e.local.Trouble() != "" {
		notices = append(notices, "the sorry server of this machine: "+e.local.Trouble())
	}
	return notices
}

// Ring tells how the new flows of a service are shared out. It is of the service's
// first address and port: the others' rings are the same.
func (s *Server) Ring(_ context.Context, service string) (api.Ring, error) {
	st := *s.decider.snapshot.Load()
	var names []string
	for _, c := range st.Config.Services {
		if names = append(names, c.Name); c.Name != service {
			continue
		}
		slots, ok := s.parts.Engine.Slots(st, c.Virtuals()[0])
		if !ok {
			return api.Ring{}, nil
		}
		var ring api.Ring
		for _, part := range c.ByPool() {
			pool, _ := st.Config.Pool(part.Pool)
			for _, server := range pool.Serving(part) {
				n := slots[reconcile.ServerID(part, server)]
				ring.Servers = append(ring.Servers, api.RingShare{Server: pool.Name + "/" + server.Name, Slots: n})
				ring.Slots += n
			}
		}
		return ring, nil
	}
	return api.Ring{}, &api.FilterError{Text: fmt.Sprintf("there is no service %q%s: there are %s",
		service, config.DidYouMean(service, names), few(names))}
}
