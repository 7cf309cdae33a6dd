// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"slices"
)

func (b builder) scheduler(path string, r rawService) {
	if b.given(path + ".scheduler") {
		b.enum(path+".scheduler", r.Scheduler, "a scheduler", schedulers()...)
	}
	b.enum(path+".hash", r.Hash, "what of a client can be hashed", string(HashAddress), string(HashPort))
	if b.given(path+".hash") && b.ok(path+".scheduler") && r.Scheduler != "mh" && r.Scheduler != "sh" {
		b.add(path+".hash", "is for the schedulers mh and sh, which go by a hash of the client")
	}
}

func (b builder) tunnel(path string, r rawService) Tunnel {
	if Method(r.Method) != TUN {
		if b.given(path+".tunnel") && b.ok(path+".method") {
			b.add(path+".tunnel", "is for the method tun")
		}
		return Tunnel{}
	}
	t := Tunnel{Kind: TunnelKind(r.Tunnel.Type)}
	path = at(path, "tunnel")
	b.enum(path+".type", r.Tunnel.Type, "a kind of tunnel", string(TunnelIPIP), string(TunnelGUE))
	switch {
	case t.Kind == TunnelGUE:
		t.Port = b.port(path+".port", r.Tunnel.Port)
	case b.given(path+".port") && b.ok(path+".type"):
		b.add(path+".port", "is for gue: ipip has no ports")
	}
	return t
}

// families reports addresses that no server of the pool can serve.
func (b builder) families(path string, texts []string, method Method, pool Pool) {
	if len(pool.Servers) == 0 || slices.ContainsFunc(pool.Servers, func(s Server) bool { return !s.Address.IsValid() }) {
		return // the pool has its own problem
	}
	if method == TUN {
		return // which goes to servers of the other family too
	}
	for i, text := range texts {
		addr, err := netip.ParseAddr(text)
		if err != nil || slices.ContainsFunc(pool.Servers, func(s Server) bool { return s.Address.Is4() == addr.Is4() }) {
			continue
		}
		b.add(at(path, i), "%v is %s, and all servers of pool %q are %s: %s does not translate between them, tun goes across",
			addr, family(addr), pool.Name, family(pool.Servers[0].Address), method)
	}
}

// translation reports servers whose port differs from the service's where the
// method cannot change it.
func (b builder) translation(path string, s Service, pool Pool) {
	if s.Method != DR && s.Method != TUN {
		return
	}
	for _, server := range pool.Servers {
		for _, port := range s.Ports {
			if server.Port != 0 && server.Port != port {
				b.add(path+".method", "%s cannot change ports, but the service has port %d and server %q of pool %q has %d: use nat, or leave the server's port out",
					s.Method, port, server.Name, pool.Name, server.Port)
			}
		}
	}
}

// leastIPv6 is the least MTU of a link that carries IPv6 (RFC 8200, section 5):
// a sender need not make its packets any smaller.
const leastIPv6 = 1280

// tunnelled reports tunnels that leave too little room for packets of IPv6.
func (b builder) tunnelled(path string, s Service, pool Pool) {
	if s.Method != TUN || !slices.ContainsFunc(s.Addresses, netip.Addr.Is6) {
		return
	}
	for _, server := range pool.Serving(s) {
		if room := server.MTU - s.Tunnel.overhead(server); server.MTU > 0 && room < leastIPv6 {
			b.add(path+".method", "tun leaves %d of the %d bytes of server %q's mtu, and IPv6 needs %d: use dr, or raise it",
				room, server.MTU, server.Name, leastIPv6)
		}
	}
}

// overhead is the length in bytes of what the tunnel puts before a packet.
func (t Tunnel) overhead(server Server) int {
	length := 40
	if server.Address.Is4() {
		length = 20
	}
	if t.Kind == TunnelGUE {
		length += 8 + 4 // UDP, and variant 0 without options
	}
	return length
}

// masquerade reports a service of full NAT for whose family the director gives
// no address.
func (b builder) masquerade(path string, s Service, d Director) {
	if s.Method != FULLNAT || d.Forwarding == ForwardingIPVS || !b.ok("director.fullnat.addresses") {
		return // IPVS has its own answer
	}
	for _, a := range s.Addresses {
		if !slices.ContainsFunc(d.FullNAT.Sources, func(source netip.Addr) bool { return source.Is4() == a.Is4() }) {
			b.add(path+".method", "fullnat needs an %s address of the director: give director.fullnat.addresses", family(a))
		}
	}
}

// schedulers are all that a service can name.
func schedulers() []string { return slices.Concat(common, counting, ipvsOnly) }

var (
	// common have both engines.
	common = []string{"wrr", "rr", "mh", "sh"}
	// counting go by how many connections each server has now.
	counting = []string{"wlc", "lc", "sed", "nq", "ovf", "lblc", "lblcr", "twos"}
	ipvsOnly = []string{"fo", "dh"}
)

// family names the address family for people.
func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
