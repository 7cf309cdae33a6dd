// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"os"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// Status tells everything at once. What the kernel does not tell is missing,
// and named among the problems.
func (s *Server) Status(context.Context) api.Status {
	st := *s.decider.snapshot.Load()
	out := api.Status{
		Name:    st.Config.Director.Name,
		Version: s.opts.Version,
		PID:     os.Getpid(),
		Started: s.started.UTC(),
		Ready:   s.isReady(),
		Config:  s.configStatus(),
		Servers: servers(st),
		Targets: s.parts.Engine.Targets(),
	}
	out.InSync = api.InSync(out.Targets)
	out.Forwarding, out.ForwardingNote = s.parts.Engine.Forwarding(st.Config.Director.Forwarding)
	out.Probes, out.Lateness = s.parts.Prober.Probes()
	var err error
	if out.Attachments, err = s.parts.Datapath.Attachments(); err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	verdicts, err := s.parts.Datapath.Verdicts()
	if err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	out.Verdicts = verdicts.Total
	out.Services = services(st, verdicts)
	return out
}

func (s *Server) configStatus() api.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return api.Config{File: s.opts.File, Loaded: s.loaded, Reload: s.reload}
}

// services lists the services in the order of the configuration.
func services(st state.State, verdicts Verdicts) []api.Service {
	out := make([]api.Service, 0, len(st.Config.Services))
	budgets := newBudgets(st.Config)
	for _, c := range st.Config.Services {
		pool, _ := st.Config.Pool(c.Pool)
		decided := st.Services[c.Name]
		service := api.Service{
			Name: c.Name, Pool: c.Pool, Method: string(c.Method), Sched: c.Scheduler, Page: c.Sorry.Page,
			Mode: decided.Mode.String(), Reason: decided.Reason, Since: decided.Since.UTC(),
			Orphans: string(decided.Orphans),
			Live:    decided.Live, Total: len(pool.Serving(c)),
			Budget:   budgets.of(c).Seconds(),
			Verdicts: map[string]api.Counter{},
		}
		for _, v := range c.Virtuals() {
			service.Virtuals = append(service.Virtuals, virtual(v))
			for name, n := range verdicts.Services[v] {
				sum := service.Verdicts[name]
				service.Verdicts[name] = api.Counter{Packets: sum.Packets + n.Packets, Bytes: sum.Bytes + n.Bytes}
			}
		}
		out = append(out, service)
	}
	return out
}

func virtual(v config.Virtual) string { return v.Addr.String() + "/" + string(v.Proto) }

// servers lists the servers in the order of the configuration.
func servers(st state.State) []api.Server {
	var out []api.Server
	for _, pool := range st.Config.Pools {
		for _, c := range pool.Servers {
			decided := st.Servers[state.ServerID{Pool: pool.Name, Name: c.Name}]
			out = append(out, api.Server{
				Pool: pool.Name, Name: c.Name, Address: c.Address.String(), Port: c.Port,
				Verdict: decided.Verdict.String(), Weight: decided.Weight,
				Reason: decided.Reason, Since: decided.Since.UTC(),
			})
		}
	}
	return out
}
