// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"net/netip"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// Env is what this machine offers.
type Env struct {
	IPVS bool // the kernel has it
}

// Derive turns what was decided into the rows of all targets.
func Derive(s state.State, env Env) Want {
	w := Want{
		Pages: map[maps.PageID]maps.Page{}, Rows: map[config.Virtual]maps.Service{},
		Virtuals: map[config.Virtual]Forward{}, Addresses: map[Address]bool{},
		Attachments: map[string]config.Attach{}, Settings: map[string]string{},
		Leave: map[config.Virtual]bool{},
	}
	director := s.Config.Director
	for _, name := range director.Interfaces {
		w.Attachments[name] = director.Attach
	}
	ipvs := forwards(director.Forwarding, env)
	if ipvs {
		w.Settings = settings()
	}
	for _, c := range s.Config.Services {
		page := w.putPage(s.Config, c)
		decided := s.Services[c.Name]
		for _, v := range c.Virtuals() {
			if decided.Mode == state.ModePending {
				w.Leave[v] = true
				continue
			}
			if c.Protocol == config.TCP {
				w.Rows[v] = row(decided, page)
			}
			if ipvs {
				mute := decided.Mode == state.ModeSorry && page == 0
				w.Virtuals[v] = forward(s, c, v, mute)
			}
			if director.Addresses == config.AddressesManage && len(director.Interfaces) > 0 {
				w.Addresses[Address{director.Interfaces[0], v.Addr.Addr()}] = true
			}
		}
	}
	return w
}

// settings are the knobs of IPVS that decide what an outage looks like: packets
// of connections to a destination that is gone expire them, and a client that
// reuses a port gets a server that lives (Documentation/networking/ipvs-sysctl.rst).
func settings() map[string]string {
	return map[string]string{"expire_nodest_conn": "1", "conn_reuse_mode": "1"}
}

// putPage wants the service's page and returns its ID; zero is no page.
func (w Want) putPage(cfg *config.Config, c config.Service) maps.PageID {
	page, ok := cfg.Page(c.Sorry.Page)
	if !ok || c.Protocol != config.TCP {
		return 0
	}
	id := maps.PageID(page.Image.Digest)
	w.Pages[id] = maps.Page{ID: id, Response: page.Image.Response, Head: page.Image.Head, Sums: page.Image.Sums}
	return id
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

// forward lists the real servers of a virtual service. A mute one, which says
// sorry and has no page to say it with, takes no new connections even where some
// server lives: IPVS then refuses them.
func forward(s state.State, c config.Service, v config.Virtual, mute bool) Forward {
	f := Forward{Scheduler: c.Scheduler, Destinations: map[netip.AddrPort]Destination{}}
	pool, _ := s.Config.Pool(c.Pool)
	for _, server := range pool.Serving(c) {
		port := server.Port
		if port == 0 {
			port = v.Addr.Port()
		}
		d := Destination{Method: c.Method}
		decided := s.Servers[state.ServerID{Pool: pool.Name, Name: server.Name}]
		switch decided.Verdict {
		case state.VerdictUp:
			d.Weight = decided.Weight
		case state.VerdictDrain:
		case state.VerdictUnknown:
			d.Keep = true
		case state.VerdictDown:
			d = Destination{Dead: true}
		}
		if mute {
			d.Weight = 0
		}
		f.Destinations[netip.AddrPortFrom(server.Address, port)] = d
	}
	return f
}

// forwards tells whether IPVS is ours to fill.
func forwards(f config.Forwarding, env Env) bool {
	switch f {
	case config.ForwardingIPVS:
		return true
	case config.ForwardingAuto:
		return env.IPVS
	case config.ForwardingNone:
	}
	return false
}
