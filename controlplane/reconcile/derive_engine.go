// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// putEngine wants what the eBPF engine needs beside services and servers.
func (w *Want) putEngine(cfg *config.Config, env Env) {
	director := cfg.Director
	w.putMarks(cfg)
	w.Setting = setting(cfg)
	if len(w.Marks) > 0 {
		w.Setting.Probes = true
		w.Settings[acceptLocal] = "1"
	}
	w.watchServers(cfg, env)
	for name := range w.Attachments {
		w.putDevice(director, env.Links[name])
	}
	for _, path := range env.Paths {
		w.putDevice(director, env.Links[path.Interface])
	}
}

// setting is what is the same for all that the engine does.
func setting(cfg *config.Config) *maps.Setting {
	nat, idle := cfg.Director.FullNAT, cfg.Director.Connections
	return &maps.Setting{
		Sources:   slices.SortedFunc(slices.Values(nat.Sources), netip.Addr.Compare),
		PortFirst: nat.PortFirst, PortLast: nat.PortLast,
		TCP: idle.TCP.Truncate(time.Second), FIN: idle.FIN.Truncate(time.Second), UDP: idle.UDP.Truncate(time.Second),
	}
}

// putDevice notes whether an interface sends what XDP redirects to it. Where the
// kernel does not tell, whoever asks for XDP vouches for it.
func (w *Want) putDevice(director config.Director, link Link) {
	if link.Index == 0 {
		return
	}
	w.Devices[link.Index] = link.Transmits == Yes || link.Transmits == Unknown && director.Attach == config.AttachXDP
}

// watchServers attaches the engine where answers of servers come in that it has to
// see, and notices servers that it can't reach.
func (w *Want) watchServers(cfg *config.Config, env Env) {
	mode := cfg.Director.Attach
	if mode == config.AttachXDP { // was asked for where clients are
		mode = config.AttachAuto
	}
	for _, c := range cfg.Services {
		for _, part := range c.ByPool() {
			w.watchPool(mode, cfg, part, env)
		}
	}
}

func (w *Want) watchPool(mode config.Attach, cfg *config.Config, c config.Service, env Env) {
	pool, _ := cfg.Pool(c.Pool)
	for _, server := range pool.Serving(c) {
		if _, there := env.Paths[server.Address]; !server.Local && (seesAnswers(cfg, c, pool) || !there) {
			w.watch(mode, env, pool.Name, server.Address)
		}
	}
}

// watch attaches the engine where the answers of a server come in.
func (w *Want) watch(mode config.Attach, env Env, pool string, server netip.Addr) {
	path, there := env.Paths[server]
	link := env.Links[path.Interface]
	switch _, attached := w.Attachments[path.Interface]; {
	case !there:
		w.notice("no route leads to the server %s of pool %s", server, pool)
	case attached:
	case link.Loopback && env.Forwarding == config.ForwardingIPVS: // what this machine sends itself it takes
	case link.Loopback:
		w.notice("the server %s of pool %s is this machine itself: eBPF can't see its answers", server, pool)
	case !link.Ethernet:
		w.notice("%s, the way to the server %s of pool %s, is not Ethernet: eBPF can't see its answers",
			path.Interface, server, pool)
	default:
		w.Attachments[path.Interface] = mode
	}
}

// seesAnswers tells whether what the servers of a service send back has to come by
// the engine.
func seesAnswers(cfg *config.Config, c config.Service, pool config.Pool) bool {
	if c.Method == config.NAT || c.Method == config.FULLNAT {
		return true
	}
	return slices.ContainsFunc(pool.Checks, func(name string) bool {
		check, _ := cfg.Check(name)
		return check.Via == config.ViaDataplane && check.Service == c.Given()
	})
}

func (w *Want) notice(format string, args ...any) {
	w.Notices = append(w.Notices, fmt.Sprintf(format, args...))
}

// putServers wants the servers of a service, and tells what each gets of it.
func (w Want) putServers(s state.State, c config.Service, env Env) Share {
	scheduler := c.SchedulerFor(config.ForwardingEBPF)
	share := Share{Spread: spread(c, scheduler), Down: down(c.OnDown)}
	pool, _ := s.Config.Pool(c.Pool)
	asked := w.marksOf()
	for _, server := range pool.Serving(c) {
		decided := wanted(s, state.ServerID{Pool: pool.Name, Name: server.Name})
		id := ServerID(c, server)
		row := serverRow(c, server, decided, env.Paths[server.Address])
		if row.Keep && asked[id] {
			row.State = maps.ServerDrain // or else its check would find no way there
		}
		w.Servers[id] = row
		m := Member{Server: id, Weight: server.Weight}
		switch {
		case scheduler == "rr":
			m.Weight = 1
		case decided.Weight > 0:
			m.Weight = decided.Weight
		}
		share.Members = append(share.Members, m)
	}
	return share
}

func serverRow(c config.Service, server config.Server, decided state.Server, path Path) Server {
	row := Server{Name: decided.ID.String(), Server: maps.Server{Gateway: path.Gateway, Interface: path.Index, MTU: server.MTU}}
	if c.Method == config.TUN {
		row.Source = path.Source
	}
	switch decided.Verdict {
	case state.VerdictUp, state.VerdictDegraded:
		row.State = maps.ServerUp
		if decided.Weight == 0 {
			row.State = maps.ServerDrain
		}
	case state.VerdictDrain:
		row.State = maps.ServerDrain
	case state.VerdictDown:
		row.State = maps.ServerDown
	case state.VerdictUnknown:
		row.Keep = true
	}
	return row
}

// protoIPIP marks, in the table of NAT's way back, the far ends of tunnels: what
// routers say of the way to them is believed.
const protoIPIP = 4

// putBacks wants what leads the answers of the servers of a virtual service back.
func (w Want) putBacks(cfg *config.Config, c config.Service, v config.Virtual) {
	pool, _ := cfg.Pool(c.Pool)
	for _, server := range pool.Serving(c) {
		id := ServerID(c, server)
		if key, ok := backOf(id, v); ok {
			w.Backs[key] = append(w.Backs[key], Back{Server: id, Service: v})
		}
	}
}
