// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"net/netip"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// acceptLocal lets the loopback interface take what comes from an address of this
// machine: answers to checks that take the way of the data.
const acceptLocal = "net/ipv4/conf/lo/accept_local"

// reuse is what IPVS does of a client that uses a port again. Of dr and tun it
// sees no more than the client's end of a connection, and by the third bit it
// takes that for the whole: a check comes by its own mark then, and not by that
// of one before it that had its port.
const reuse, reuseStraight = "conn_reuse_mode", "3"

// asked is an errand of the configuration with all that it names.
type asked struct {
	config.Marked
	service config.Service
	pool    string
	server  config.Server
}

func errands(cfg *config.Config) []asked {
	var all []asked
	for errand, marked := range cfg.Errands() {
		c, _ := cfg.Service(errand.Service)
		pool, _ := cfg.Pool(errand.Pool)
		for _, server := range pool.Servers {
			if server.Name == errand.Server {
				all = append(all, asked{marked, c, pool.Name, server})
			}
		}
	}
	return all
}

// putMarks says which server each mark of a check leads to, with eBPF.
func (w *Want) putMarks(cfg *config.Config) {
	for _, a := range errands(cfg) {
		w.Marks[a.Mark] = ServerID(a.service, a.server)
	}
}

// putErrands wants what brings checks to servers with IPVS. Answers to those by
// nat come back as they should by IPVS itself. Others bear the service's address,
// which is this machine's own: eBPF takes them in.
func (w *Want) putErrands(cfg *config.Config, env Env) {
	straight := false
	for _, a := range errands(cfg) {
		at := netip.AddrPortFrom(a.server.Address, portOf(a.server, config.Virtual{Addr: a.At}))
		w.Errands[Mark{a.Mark, a.At.Addr().Is6()}] = Errand{
			Server: at, Destination: Destination{Method: a.service.Method, Tunnel: tunnel(a.service), Weight: 1},
		}
		if a.service.Method != config.NAT {
			straight = true
			w.watch(config.AttachTC, env, a.pool, a.server.Address) // XDP leaves them to tc
		}
	}
	if straight {
		w.Setting = setting(cfg)
		w.Setting.Probes = true
		w.Settings[acceptLocal] = "1"
		w.Settings[reuse] = reuseStraight
	}
}

// marksOf are the servers that checks ask by eBPF.
func (w Want) marksOf() map[maps.ServerID]bool {
	ids := map[maps.ServerID]bool{}
	for _, id := range w.Marks {
		ids[id] = true
	}
	return ids
}
