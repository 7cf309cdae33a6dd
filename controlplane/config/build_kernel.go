// SPDX-License-Identifier: Apache-2.0

package config

import "net/netip"

// What the kernel has room for: bpf/include/maps.h. A slot of pages stays empty.
const (
	mostRows  = 4096
	mostPages = 1024 - 1
)

// room reports what the kernel could not hold.
func (b builder) room(cfg *Config) {
	rows := 0
	for _, s := range cfg.Services {
		rows += len(s.Addresses) * len(s.Ports)
	}
	if rows > mostRows {
		b.add("services", "have %d addresses and ports in all, the kernel has room for %d", rows, mostRows)
	}
	if slots := cfg.slots(); slots > mostPages {
		b.add("pages", "those in use take %d places with their variants, the kernel has %d", slots, mostPages)
	}
}

// slots is how many places the pages take that services name.
func (c *Config) slots() int {
	type image struct {
		digest  uint64
		service string // where each has its own
	}
	slots := map[image]int{}
	for _, s := range c.Services {
		names := []string{s.Sorry.Page}
		if s.Shed.Limits() {
			names = append(names, s.Shed.Page)
		}
		for _, name := range names {
			page, ok := c.Page(name)
			if !ok {
				continue
			}
			one := image{digest: page.Image.Digest}
			if page.PerService() {
				one.service = s.Given()
			}
			slots[one] = page.Image.Slots()
		}
	}
	sum := 1 // the alert of all pages of HTTP
	for _, n := range slots {
		sum += n
	}
	return sum
}

// destinations reports two servers of a pool that are one to a service: IPVS
// knows a destination by its address and port, and the port of a server that has
// none of its own is the service's.
func (b builder) destinations(path string, s Service, pool Pool) {
	for _, port := range s.Ports {
		seen := map[netip.AddrPort]Server{}
		for _, server := range pool.Serving(s) {
			key := netip.AddrPortFrom(server.Address, server.Port)
			if server.Port == 0 {
				key = netip.AddrPortFrom(server.Address, port)
			}
			first, ok := seen[key]
			if ok && first.Port != server.Port { // else the pool has its own problem
				b.add(path+".pool", "on port %d servers %q and %q of pool %q are one, %v: remove one, or give it another port",
					port, first.Name, server.Name, pool.Name, key)
			}
			seen[key] = server
		}
	}
}

// ownAddresses reports servers that are the director itself: what is sent to
// the address of a service comes back.
func (b builder) ownAddresses(cfg *Config) {
	owner := map[netip.Addr]string{}
	for _, s := range cfg.Services {
		for _, a := range s.Addresses {
			owner[a] = s.Name
		}
	}
	for i, a := range cfg.Director.FullNAT.Sources {
		if name, ok := owner[a]; ok {
			b.add(at("director", "fullnat", "addresses", i), "%v is an address of service %q, whose ports are its clients': give another of the director's", a, name)
		}
	}
	for i, pool := range cfg.Pools {
		for j, server := range pool.Servers {
			if name, ok := owner[server.Address]; ok && server.Address.IsValid() {
				b.add(at("pools", i, "servers", j, "address"),
					"%v is an address of service %q, where packets for the server would come back to the director: give the server's own",
					server.Address, name)
			}
		}
	}
}
