// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"net/netip"
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
		Targets: s.parts.Engine.Targets(),
	}
	out.InSync = api.InSync(out.Targets)
	out.Notices, out.Guard = s.parts.Engine.Notices(), guard(st)
	out.Forwarding, out.ForwardingNote = s.parts.Engine.Forwarding(st.Config.Director.Forwarding)
	out.Probes, out.Lateness = s.parts.Prober.Probes()
	if s.opts.Modules != nil {
		out.Modules = s.opts.Modules()
	}
	var err error
	if out.Attachments, err = s.parts.Datapath.Attachments(); err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	verdicts, err := s.parts.Datapath.Verdicts()
	if err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	out.Verdicts = verdicts.Total
	var load Load
	if s.parts.Traffic != nil {
		if load, err = s.parts.Traffic.Load(st.Config); err != nil {
			out.Problems = append(out.Problems, err.Error())
		}
	}
	out.FlowTable = load.Table
	out.Servers = servers(st, load)
	out.Services = services(st, verdicts, load, out)
	out.Pages = pages(st)
	for i, service := range out.Services {
		out.Services[i].Shed = s.shedding(st.Services[service.Name])
	}
	return out
}

func (s *Server) configStatus() api.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return api.Config{File: s.opts.File, Loaded: s.loaded, Reload: s.reload}
}

// services lists the services in the order of the configuration; who forwards
// and where is the same for all.
func services(st state.State, verdicts Verdicts, load Load, common api.Status) []api.Service {
	out := make([]api.Service, 0, len(st.Config.Services))
	budgets := newBudgets(st.Config)
	for _, c := range st.Config.Services {
		pool, _ := st.Config.Pool(c.Pool)
		decided := st.Services[c.Name]
		service := api.Service{
			Name: c.Name, Pool: c.Pool, Method: string(c.Method), Page: decided.Page, Outage: c.Sorry.Page, Backup: c.Sorry.Pool,
			Override: override(decided.Override),
			Mode:     decided.Mode.String(), Reason: decided.Reason, Since: decided.Since.UTC(),
			Orphans: string(decided.Orphans),
			Live:    decided.Live, Total: len(pool.Serving(c)),
			Budget:   budgets.of(c).Seconds(),
			Verdicts: map[string]api.Counter{},
			Quorum:   quorum(st, c), Checks: pool.Checks, UpWhen: upWhen(pool), Attached: attached(common.Attachments),
		}
		for _, server := range pool.Serving(c) {
			service.Servers = append(service.Servers, server.Name)
		}
		describeEngine(&service, c, config.Forwarding(common.Forwarding))
		for _, v := range c.Virtuals() {
			service.Virtuals = append(service.Virtuals, virtual(v))
			service.Active += load.Services[v]
			for name, n := range verdicts.Services[v] {
				sum := service.Verdicts[name]
				service.Verdicts[name] = api.Counter{Packets: sum.Packets + n.Packets, Bytes: sum.Bytes + n.Bytes}
			}
		}
		out = append(out, service)
	}
	return out
}

// shedding tells what a service turns away.
func (s *Server) shedding(decided state.Service) *api.Shedding {
	if decided.Mode != state.ModeShed {
		return nil
	}
	var out api.Shedding
	if s.meter != nil {
		out = s.meter.counted(decided.Name)
	}
	out.Fraction = decided.Shed
	return &out
}

func override(o state.Override) *api.Override {
	if o.Mode == state.OverrideAuto {
		return nil
	}
	return &api.Override{Mode: string(o.Mode), Page: o.Page, Fraction: o.Shed, Since: o.Since.UTC()}
}

func virtual(v config.Virtual) string { return v.Addr.String() + "/" + string(v.Proto) }

// describeEngine says how a service is forwarded, with the engine that is in
// force.
func describeEngine(s *api.Service, c config.Service, engine config.Forwarding) {
	s.Engine, s.Sched = string(engine), c.SchedulerFor(engine)
	if c.Method == config.TUN {
		s.Tunnel = string(c.Tunnel.Kind)
	}
	if s.Sched == "mh" || s.Sched == "sh" {
		s.Hash = string(c.Hash)
	}
	if engine == config.ForwardingEBPF {
		s.OnDown = string(c.OnDown)
	}
}

func quorum(st state.State, c config.Service) api.Quorum {
	n := st.Count(c)
	return api.Quorum{
		Min: c.Quorum.Min, Hysteresis: c.Quorum.Hysteresis, Percent: c.Quorum.Percent,
		Has: n.Has, Keep: n.Keep, Reach: n.Reach,
	}
}

// attached names the places where packets of services are looked at.
func attached(places []api.Attachment) []string {
	out := make([]string, 0, len(places))
	for _, a := range places {
		at := a.Interface
		if a.XDP {
			at += " xdp"
		}
		if a.TC {
			at += " tc"
		}
		out = append(out, at)
	}
	return out
}

// servers lists the servers in the order of the configuration.
func servers(st state.State, load Load) []api.Server {
	var out []api.Server
	for _, pool := range st.Config.Pools {
		for _, c := range pool.Servers {
			id := state.ServerID{Pool: pool.Name, Name: c.Name}
			decided := st.Servers[id]
			server := api.Server{
				Pool: pool.Name, Name: c.Name, Address: addressText(c), Port: c.Port,
				Verdict: decided.Verdict.String(), Weight: decided.Weight, Configured: c.Weight,
				Reason: decided.Reason, Since: decided.Since.UTC(), Probes: probeKeys(st.Config, pool, c),
			}
			describeServer(&server, pool, decided, st)
			if traffic, ok := load.Servers[id]; ok {
				server.Traffic = &traffic
			}
			out = append(out, server)
		}
	}
	return out
}

// addressText is where a server is, for people.
func addressText(c config.Server) string {
	if c.Local {
		return "this machine"
	}
	return c.Address.String()
}

// targetText is where a check asks, for people: the sorry server of this machine has
// no address.
func targetText(target netip.AddrPort) string {
	if !target.IsValid() {
		return "this machine"
	}
	if target.Port() == 0 {
		return target.Addr().String() // of a check that asks no port
	}
	return target.String()
}

func probeKeys(cfg *config.Config, pool config.Pool, server config.Server) []api.ProbeKey {
	var out []api.ProbeKey
	for _, key := range state.Keys(cfg, pool, server) {
		out = append(out, api.ProbeKey{Check: key.Check, Target: targetText(key.Target)})
	}
	return out
}
