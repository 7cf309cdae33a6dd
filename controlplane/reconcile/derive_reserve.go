// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"net/netip"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// serving is the pool that a service's new connections go to: in an outage that in
// reserve, where it can.
func serving(decided state.Service, c config.Service) string {
	if decided.Mode == state.ModeBackup {
		return c.Sorry.Pool
	}
	return c.Pool
}

// putPools wants the servers of all pools of a service, and tells what those of the
// one that serves get. The others go on with what they have.
func (w Want) putPools(s state.State, c config.Service, env Env) Share {
	var share Share
	var idle []Member
	for _, part := range c.ByPool() {
		one := w.putServers(s, part, env)
		if part.Pool == serving(s.Services[c.Name], c) {
			share = one
		} else {
			idle = append(idle, one.Members...)
		}
	}
	for _, m := range idle {
		share.Idle = append(share.Idle, m.Server)
	}
	return share
}

// destinations are those of the pool that serves, and the dead of the other. Its
// living ones are not named: they keep their connections, and go when they have
// none left.
func destinations(s state.State, c config.Service, v config.Virtual, mute bool) map[netip.AddrPort]Destination {
	all := map[netip.AddrPort]Destination{}
	for _, part := range c.ByPool() {
		pool, _ := s.Config.Pool(part.Pool)
		serves := pool.Name == serving(s.Services[c.Name], c)
		for _, server := range pool.Serving(part) {
			at := destinationOf(server, v)
			d := wantedDestination(part, server, wanted(s, state.ServerID{Pool: pool.Name, Name: server.Name}))
			if mute {
				d.Weight = 0
			}
			if _, known := all[at]; serves || d.Dead && !known {
				all[at] = d
			}
		}
	}
	return all
}

// wanted is a server as it was decided, and as up where a service below its quorum
// sends to all: but not where an operator has taken it out.
func wanted(s state.State, id state.ServerID) state.Server {
	decided := s.Servers[id]
	pool, _ := s.Config.Pool(id.Pool)
	all := slices.ContainsFunc(s.Config.Services, func(c config.Service) bool {
		return c.Pool == id.Pool && s.Services[c.Name].All && slices.Contains(pool.Serving(c), decided.Config)
	})
	if all && decided.Override.Mode == state.ServerAuto && !decided.Verdict.Serves() {
		decided.Verdict, decided.Weight = state.VerdictUp, decided.Config.Weight
	}
	return decided
}

// destinationOf is where IPVS has a server: this machine at the service's own
// address.
func destinationOf(server config.Server, v config.Virtual) netip.AddrPort {
	if server.Local {
		return v.Addr
	}
	return netip.AddrPortFrom(server.Address, portOf(server, v))
}

// wantedDestination is a server as IPVS is to have it.
func wantedDestination(c config.Service, server config.Server, decided state.Server) Destination {
	d := Destination{Method: c.Method, Tunnel: tunnel(c)}
	if server.Local {
		d = Destination{Local: true}
	}
	switch decided.Verdict {
	case state.VerdictUp, state.VerdictDegraded:
		d.Weight = decided.Weight
	case state.VerdictDrain:
	case state.VerdictUnknown:
		d.Keep = true
	case state.VerdictDown:
		if c.OnDown != config.OnDownKeep {
			d = Destination{Dead: true}
		}
	}
	return d
}

// LocalAddrs are the addresses that this machine has to have for its sorry server,
// and that somebody else puts there.
func LocalAddrs(cfg *config.Config) []netip.Addr {
	var addrs []netip.Addr
	for _, c := range cfg.Services {
		if c.Local() && cfg.Director.Addresses == config.AddressesExternal {
			addrs = append(addrs, c.Addresses...)
		}
	}
	return addrs
}

// noticeLocal tells of addresses that this machine does not have: what is sent
// there does not get to its sorry server.
func (w *Want) noticeLocal(cfg *config.Config, env Env) {
	for _, a := range LocalAddrs(cfg) {
		if path, there := env.Paths[a]; !there || !env.Links[path.Interface].Loopback {
			w.notice("%s is no address of this machine, and the sorry server here gets nothing that is sent to it: put it on an interface, or set director.addresses: manage", a)
		}
	}
}

// localText is how packets get to a server on this machine, for people.
const localText = "to this machine itself"
