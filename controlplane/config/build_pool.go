// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"net/netip"
	"time"
)

func (b builder) pools(checks []Check) []Pool {
	var pools []Pool
	var names, known []string
	byName := map[string]Check{}
	for _, c := range checks {
		known = append(known, c.Name)
		byName[c.Name] = c
	}
	for i, r := range b.raw.Pools {
		path := at("pools", i)
		p := b.pool(path, r)
		b.references(path+".checks", "check", r.Checks, known)
		b.upWhen(path, r, &p, known)
		b.probePorts(path, p, byName)
		b.sources(path, p, byName)
		pools = append(pools, p)
		names = append(names, r.Name)
	}
	b.names("pools", names)
	return pools
}

func (b builder) pool(path string, r rawPool) Pool {
	p := Pool{Name: r.Name, Checks: r.Checks, Degraded: b.part(path+".degraded", r.Degraded)}
	slow := b.slowStart(path, r.SlowStart)
	if len(r.Servers) == 0 && b.ok(at(path, "servers")) {
		b.missing(at(path, "servers"), "a pool has at least one server")
	}
	for i, server := range r.Servers {
		p.Servers = append(p.Servers, b.server(at(path, "servers", i), server, slow))
	}
	b.serverNames(path, p.Servers)
	b.twins(path, p.Servers)
	return p
}

// server reads a real server; slow is the slow start of its pool.
func (b builder) server(path string, r rawServer, slow time.Duration) Server {
	s := Server{Name: r.Name, Weight: r.Weight, SlowStart: slow}
	if b.given(at(path, "slow_start")) {
		s.SlowStart = b.slowStart(path, r.SlowStart)
	}
	s.Address, s.Host = b.host(path, r)
	switch named := b.given(at(path, "name")); {
	case s.Name != "" || named:
	case s.Address.IsValid():
		s.Name = s.Address.String()
	default:
		s.Name = s.Host.Name
	}
	if b.given(at(path, "port")) {
		s.Port = b.port(at(path, "port"), r.Port)
	}
	s.MTU, s.UpperThreshold = r.MTU, r.UpperThreshold
	if b.given(at(path, "upper_threshold")) && r.UpperThreshold < 1 {
		b.add(at(path, "upper_threshold"), "%d is not a count of connections: 1 or more", r.UpperThreshold)
	}
	if least := leastMTU(s.Address); r.MTU != 0 && s.Address.IsValid() && (r.MTU < least || r.MTU > math.MaxUint16) {
		b.add(at(path, "mtu"), "%d is out of range: %d to 65535 for %s", r.MTU, least, family(s.Address))
	}
	if r.Weight < 1 || r.Weight > math.MaxUint16 {
		b.add(at(path, "weight"), "%d is out of range: 1 to 65535", r.Weight)
	}
	return s
}

// leastMTU is what every host of the address's family can take: RFC 791 and RFC
// 8200.
func leastMTU(a netip.Addr) int {
	if a.Is4() {
		return 576
	}
	return leastIPv6
}

// serverNames leaves out servers that have no name for want of an address.
func (b builder) serverNames(path string, servers []Server) {
	seen := map[string]int{}
	for i, s := range servers {
		server := at(path, "servers", i)
		named := b.given(at(server, "name"))
		if s.Name == "" && !named {
			continue
		}
		b.name(at(server, "name"), s.Name)
		first, ok := seen[s.Name]
		if !ok || !b.ok(at(server, "name")) {
			seen[s.Name] = i
			continue
		}
		before := at(path, "servers", first)
		switch {
		case named || b.given(at(before, "name")):
			b.add(at(server, "name"), "%q is given twice: first at %v", s.Name, b.places.of(before))
		case s.Port != servers[first].Port: // else twins reports them
			b.add(at(server, "name"), "is missing here and at %v: both servers have the address %v, give them names",
				b.places.of(before), s.Address)
		}
	}
}

// twins reports servers that are the same to the kernel: IPVS knows a real
// server by its address and port.
func (b builder) twins(path string, servers []Server) {
	seen := map[netip.AddrPort]int{}
	for i, s := range servers {
		key := netip.AddrPortFrom(s.Address, s.Port)
		first, ok := seen[key]
		server := at(path, "servers", i)
		if ok && s.Address.IsValid() && b.ok(at(server, "name"), at(server, "port")) {
			b.add(at(server, "address"), "%v is a server of this pool already: at %v",
				s.Address, b.places.of(at(path, "servers", first)))
		}
		if !ok {
			seen[key] = i
		}
	}
}

// probePorts reports checks that know no port to probe on some server.
func (b builder) probePorts(path string, p Pool, checks map[string]Check) {
	for i, name := range p.Checks {
		where := at(path, "checks", i)
		if !b.given(where) {
			where = path + ".up_when"
		}
		c, ok := checks[name]
		if !ok || c.Type == "" || c.Port != 0 || c.PortOptional || c.Via == ViaDataplane {
			continue
		}
		for _, s := range p.Servers {
			if c.Target(s).Port() == 0 && !s.Host.SRV {
				b.add(where, "check %q has no port to probe: server %q has none and %s has no usual one, give the check or the server a port",
					name, s.Name, c.Type)
			}
		}
	}
}

func (b builder) port(path string, port int) uint16 {
	if port < 1 || port > math.MaxUint16 {
		b.add(path, "%d is not a port: 1 to 65535", port)
		return 0
	}
	return uint16(port)
}

// address reads the address of a host: no prefix, no port, no name.
func (b builder) address(path, text string) netip.Addr {
	if text == "" {
		b.missing(path, "give it an IP address")
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		b.add(path, "%q %s", text, notAnAddress(text))
		return netip.Addr{}
	}
	switch {
	case addr.Zone() != "":
		b.add(path, "%q has a zone: an address of one link only cannot be used here", text)
	case addr.Is4In6():
		b.add(path, "%q is an IPv4 address in IPv6 form: write %v", text, addr.Unmap())
	case addr.IsUnspecified():
		b.add(path, "%q is not the address of a host", text)
	case addr.IsMulticast():
		b.add(path, "%q is a multicast address", text)
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		b.add(path, "%q is the broadcast address", text)
	default:
		return addr
	}
	return netip.Addr{}
}

const notNumeric = "is not an IP address (names are not looked up)"

func notAnAddress(text string) string {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return "has a prefix length: write the address alone, " + prefix.Addr().String()
	}
	if addr, err := netip.ParseAddrPort(text); err == nil {
		return "has a port: write the address alone, " + addr.Addr().String()
	}
	return notNumeric
}
