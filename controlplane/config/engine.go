// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"net/netip"
	"slices"
)

// Refuse tells what of the configuration the engine cannot do, each with its
// place in the files. Loading does so where the files name the engine; with
// forwarding auto it is known only on the machine.
func (c *Config) Refuse(engine Forwarding) []error {
	var errs []error
	for _, p := range c.refusals(engine) {
		errs = append(errs, p)
	}
	return errs
}

func (c *Config) refusals(engine Forwarding) Errors {
	r := newReport()
	r.places, r.secrets = c.places, c.secrets
	refuse(r, c, engine)
	_ = r.err() // sorts them
	return r.problems
}

func refuse(r *report, cfg *Config, engine Forwarding) {
	switch engine {
	case ForwardingEBPF:
		refuseSchedulers(r, cfg)
		refuseWaysBack(r, cfg)
		refuseEnds(r, cfg)
		refuseServers(r, cfg)
	case ForwardingIPVS:
		for i, s := range cfg.Services {
			if s.Method == FULLNAT {
				r.add(cfg.service(i)+".method", "fullnat needs the eBPF engine, IPVS has none: use nat, or forwarding: ebpf")
			}
		}
	case ForwardingNone:
		for i, s := range cfg.Services {
			if s.Sorry.Pool != "" {
				r.add(cfg.service(i)+".sorry", "names who serves in an outage, and nobody leads clients there where others forward: leave it to them")
			}
		}
		for i, check := range cfg.Checks {
			if check.Via == ViaDataplane {
				r.add(at("checks", i, "via"), "there is no data path to ask by where others forward: use direct")
			}
		}
	case ForwardingAuto:
	}
}

// service is the path of a service in the files.
func (c *Config) service(i int) string {
	if i < len(c.origins) {
		i = c.origins[i]
	}
	return at("services", i)
}

func refuseSchedulers(r *report, cfg *Config) {
	for i, s := range cfg.Services {
		path := cfg.service(i) + ".scheduler"
		switch {
		case slices.Contains(counting, s.Scheduler):
			r.add(path, "%s needs live connection counts, which IPVS has and the eBPF engine has not: use wrr, rr, mh or sh", s.Scheduler)
		case slices.Contains(ipvsOnly, s.Scheduler):
			r.add(path, "%s is a scheduler of IPVS alone: use wrr, rr, mh or sh with the eBPF engine", s.Scheduler)
		}
	}
}

// What the eBPF engine has room for: BACK_MAX in bpf/include/types.h, and
// SERVERS_MAX in bpf/include/tables.h, of which one row stays empty; the table of
// ways back has as many.
const (
	mostBacks   = 16
	mostServers = 16384 - 1
	mostEnds    = 16384
)

// refuseWaysBack reports servers to which too many services go by nat. What a
// server sends names only itself and the client: whose answer it is, the engine
// finds out by looking at each service that goes there.
func refuseWaysBack(r *report, cfg *Config) {
	services := map[Virtual]int{} // by the server's end
	for i, s := range cfg.Services {
		if s.Method != NAT {
			continue
		}
		for _, server := range cfg.Reached(s) {
			for _, port := range s.Ports {
				end := endOf(server, s, port)
				services[end] += len(s.Addresses)
				if n := services[end]; n > mostBacks {
					r.add(cfg.service(i)+".pool", "%d addresses and ports of services go to %v/%s by nat, the eBPF engine finds the way back for %d: use another method, or more ports of the server",
						n, end.Addr, end.Proto, mostBacks)
				}
			}
		}
	}
}

// endOf is where a server gets, and answers from, what is for a port of a service.
func endOf(server Server, s Service, port uint16) Virtual {
	return Virtual{netip.AddrPortFrom(server.Address, cmp.Or(server.Port, port)), s.Protocol}
}

// refuseEnds reports more addresses and ports of servers than the table of ways back
// has rows. A server that listens where the client asks has one for each port.
func refuseEnds(r *report, cfg *Config) {
	ends := map[Virtual]bool{}
	for _, s := range cfg.Services {
		for _, server := range cfg.Reached(s) {
			for _, port := range s.Ports {
				switch s.Method {
				case NAT, FULLNAT:
					ends[endOf(server, s, port)] = true
				case TUN:
					ends[Virtual{Addr: netip.AddrPortFrom(server.Address, 0)}] = true
				case DR:
				}
			}
		}
	}
	if len(ends) > mostEnds {
		r.add("pools", "have %d addresses and ports of servers that are reached by nat, fullnat or tun: the eBPF engine has room for %d: use fewer ports, give servers one of their own, or use dr",
			len(ends), mostEnds)
	}
}

// refuseServers reports more servers than there are rows. A server has one for
// each pool and each way in which it is reached.
func refuseServers(r *report, cfg *Config) {
	type row struct {
		pool   string
		server netip.AddrPort
		method Method
		tunnel Tunnel
	}
	rows := map[row]bool{}
	for _, s := range cfg.Services {
		for _, s := range s.ByPool() {
			pool, _ := cfg.Pool(s.Pool)
			for _, server := range pool.Serving(s) {
				rows[row{pool.Name, netip.AddrPortFrom(server.Address, server.Port), s.Method, s.Tunnel}] = true
			}
		}
	}
	if len(rows) > mostServers {
		r.add("pools", "have %d servers in all, counted once for each method: the eBPF engine has room for %d", len(rows), mostServers)
	}
}
