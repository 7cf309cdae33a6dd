// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"math"
	"net/netip"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// Env is what this machine offers.
type Env struct {
	Forwarding config.Forwarding   // who forwards: IPVS, eBPF or nobody, never auto
	Paths      map[netip.Addr]Path // to the real servers; absent: there is none
	Links      map[string]Link     // by name
}

// Derive turns what was decided into the rows of all targets.
func Derive(s state.State, env Env) Want {
	w := Want{
		Pages: map[maps.PageID]maps.Page{}, Rows: map[config.Virtual]maps.Service{},
		Virtuals: map[config.Virtual]Forward{}, Addresses: map[Address]bool{},
		Attachments: map[string]config.Attach{}, Settings: map[string]string{},
		Servers: map[maps.ServerID]Server{}, Shares: map[config.Virtual]Share{}, Backs: map[maps.Key][]Back{},
		Marks: map[uint32]maps.ServerID{}, Devices: map[int]bool{}, Errands: map[Mark]Errand{},
		Leave: map[config.Virtual]bool{},
	}
	director := s.Config.Director
	for _, name := range director.Interfaces {
		w.Attachments[name] = director.Attach
	}
	switch env.Forwarding {
	case config.ForwardingIPVS:
		w.Settings = settings()
		w.putErrands(s.Config, env)
	case config.ForwardingEBPF:
		w.putEngine(s.Config, env)
	case config.ForwardingNone, config.ForwardingAuto:
	}
	w.noticeLocal(s.Config, env)
	slices.Sort(w.Notices)
	w.Notices = slices.Compact(w.Notices)
	for _, c := range s.Config.Services {
		decided := s.Services[c.Name]
		page := w.putPage(s.Config, c, decided.Page)
		if decided.Mode == state.ModePending {
			for _, v := range c.Virtuals() {
				w.Leave[v] = true
			}
			continue
		}
		w.putService(s, c, page, env)
	}
	return w
}

// putService wants what a service that is decided needs.
func (w Want) putService(s state.State, c config.Service, page maps.PageID, env Env) {
	decided, director := s.Services[c.Name], s.Config.Director
	mute := decided.Mode == state.ModeSorry && page == 0
	var share Share
	if env.Forwarding == config.ForwardingEBPF {
		share = w.putPools(s, c, env)
		share.Mute = mute
	}
	for _, v := range c.Virtuals() {
		w.Rows[v] = row(decided, page)
		switch env.Forwarding {
		case config.ForwardingIPVS:
			w.Virtuals[v] = forward(s, c, v, mute)
		case config.ForwardingEBPF:
			w.Shares[v] = share
			for _, part := range c.ByPool() {
				w.putBacks(s.Config, part, v)
			}
		case config.ForwardingNone, config.ForwardingAuto:
		}
		if director.Addresses == config.AddressesManage && len(director.Interfaces) > 0 {
			w.Addresses[Address{director.Interfaces[0], v.Addr.Addr()}] = true
		}
	}
}

// settings are the knobs of IPVS that decide what an outage looks like: packets
// of connections to a destination that is gone expire them, and a client that
// reuses a port gets a server that lives (Documentation/networking/ipvs-sysctl.rst).
func settings() map[string]string {
	return map[string]string{"expire_nodest_conn": "1", "conn_reuse_mode": "1"}
}

func row(decided state.Service, page maps.PageID) maps.Service {
	r := maps.Service{Page: page}
	switch decided.Mode {
	case state.ModeServe, state.ModePending:
		r.Mode = maps.ModeServe
	case state.ModeSorry:
		r.Mode = maps.ModeSorry
	case state.ModeLinger:
		r.Mode = maps.ModeLinger
	case state.ModeShed:
		r.Mode, r.Shed = maps.ModeShed, share32(decided.Shed)
	case state.ModeBackup:
		if !decided.LingerUntil.IsZero() {
			r.Mode = maps.ModeLinger
		}
	}
	switch decided.Orphans {
	case config.OrphansPass:
		r.Orphans = maps.OrphansPass
	case config.OrphansDrop:
		r.Orphans = maps.OrphansDrop
	case config.OrphansReset, config.OrphansAuto:
		r.Orphans = maps.OrphansReset
	}
	return r
}

// share32 is a part of one as a part of 2^32; all is one less.
func share32(part float64) uint32 {
	return uint32(min(part*(1<<32), math.MaxUint32))
}

// forward lists the real servers of a virtual service. A mute one, which says
// sorry and has no page to say it with, takes no new connections even where some
// server lives: IPVS then refuses them.
func forward(s state.State, c config.Service, v config.Virtual, mute bool) Forward {
	f := Forward{Scheduler: c.SchedulerFor(config.ForwardingIPVS), Destinations: destinations(s, c, v, mute)}
	f.Ports = c.Hash == config.HashPort && hashes(f.Scheduler)
	return f
}

// tunnel is the service's, and zero where its method is another.
func tunnel(c config.Service) config.Tunnel {
	switch {
	case c.Method != config.TUN:
		return config.Tunnel{}
	case c.Tunnel.Kind == config.TunnelGUE:
		return c.Tunnel
	}
	return config.Tunnel{Kind: config.TunnelIPIP}
}

// hashes tells whether a scheduler goes by a hash of the client.
func hashes(scheduler string) bool { return scheduler == "mh" || scheduler == "sh" }

// portOf is where a server is asked for a virtual service.
func portOf(server config.Server, v config.Virtual) uint16 {
	if server.Port == 0 {
		return v.Addr.Port()
	}
	return server.Port
}
