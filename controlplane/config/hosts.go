// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Resolver is how the names of servers are looked up.
type Resolver struct {
	Servers []netip.AddrPort // that are asked; none: those of /etc/resolv.conf
	// An answer holds for its TTL, but no shorter and no longer than this.
	MinTTL, MaxTTL time.Duration
}

// Host is a name in the DNS whose addresses are servers of a pool. The zero value
// is none.
type Host struct {
	Name string
	SRV  bool // records of service (RFC 2782) tell the names, ports and weights
}

// Query is a host and the families of addresses that are of use.
type Query struct {
	Host
	IPv4, IPv6 bool
}

// Found is a server that a name leads to. Port and Weight are of records of
// service, and zero otherwise.
type Found struct {
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port,omitempty"`
	Weight  int        `json:"weight,omitempty"`
}

// Queries lists the hosts of all pools, each once.
func (c *Config) Queries() []Query {
	var all []Query
	for _, p := range c.Pools {
		four, six := c.families(p.Name)
		for _, s := range p.Hosts {
			i := slices.IndexFunc(all, func(q Query) bool { return q.Host == s.Host })
			if i < 0 {
				i, all = len(all), append(all, Query{Host: s.Host})
			}
			all[i].IPv4, all[i].IPv6 = all[i].IPv4 || four, all[i].IPv6 || six
		}
	}
	return all
}

// families tells which addresses the services can use that have a pool: their own
// family, and with a tunnel either. A pool that no service has is for both.
func (c *Config) families(pool string) (four, six bool) {
	used := false
	for _, s := range c.Services {
		if s.Pool != pool && s.Sorry.Pool != pool || len(s.Addresses) == 0 {
			continue
		}
		used = true
		four = four || s.Method == TUN || s.Addresses[0].Is4()
		six = six || s.Method == TUN || !s.Addresses[0].Is4()
	}
	return four || !used, six || !used
}

// Resolved is the configuration with the servers that names lead to. Those before
// are gone. A name without an answer has no servers.
func (c *Config) Resolved(answers map[Host][]Found) *Config {
	next := *c
	next.Pools = slices.Clone(c.Pools)
	own := map[netip.Addr]bool{}
	for _, s := range c.Services {
		for _, a := range s.Addresses {
			own[a] = true // packets for it would come back to the director
		}
	}
	for i := range next.Pools {
		p := &next.Pools[i]
		if len(p.Hosts) == 0 {
			continue
		}
		four, six := c.families(p.Name)
		p.Servers = slices.DeleteFunc(slices.Clone(p.Servers), func(s Server) bool { return s.Host != Host{} })
		for _, template := range p.Hosts {
			for _, found := range answers[template.Host] {
				a := found.Address
				if own[a] || a.Is4() && !four || !a.Is4() && !six {
					continue
				}
				p.add(template.at(found))
			}
		}
	}
	return &next
}

// add takes a server that is no twin of another.
func (p *Pool) add(s Server) {
	twin := func(o Server) bool { return o.Address == s.Address && o.Port == s.Port || o.Name == s.Name }
	if !slices.ContainsFunc(p.Servers, twin) {
		p.Servers = append(p.Servers, s)
	}
}

// at is the server that a host's template and an address make.
func (s Server) at(f Found) Server {
	s.Address = f.Address
	where := f.Address.String()
	if s.Host.SRV {
		s.Port, s.Weight = f.Port, max(f.Weight, 1)
		where = netip.AddrPortFrom(f.Address, f.Port).String()
	}
	if s.MTU != 0 {
		s.MTU = max(s.MTU, leastMTU(f.Address))
	}
	s.Name += "@" + where
	return s
}

// split parts the hosts of a pool from its servers.
func (p *Pool) split() {
	isHost := func(s Server) bool { return s.Host != Host{} }
	for _, s := range p.Servers {
		if isHost(s) {
			p.Hosts = append(p.Hosts, s)
		}
	}
	p.Servers = slices.DeleteFunc(p.Servers, isHost)
}

// named tells whether names tell servers of the pool.
func (p Pool) named() bool {
	return len(p.Hosts) > 0 || slices.ContainsFunc(p.Servers, func(s Server) bool { return s.Host != Host{} })
}

// host reads where a server is: at an address, or wherever a name leads.
func (b builder) host(path string, r rawServer) (netip.Addr, Host) {
	name := cmp.Or(r.SRV, r.Address)
	switch {
	case b.given(path+".srv") && b.given(path+".address"):
		b.add(path+".srv", "stands beside address: a server has one of them")
	case b.given(path + ".srv"):
		if b.given(path + ".port") {
			b.add(path+".port", "stands beside srv, whose records tell the port: leave it out")
		}
		if b.given(path + ".weight") {
			b.add(path+".weight", "stands beside srv, whose records tell the weight: leave it out")
		}
		if !isHostName(r.SRV) || !strings.HasPrefix(r.SRV, "_") {
			b.add(path+".srv", "%q is not a name of records of service: say _http._tcp.app.example", r.SRV)
			break
		}
		return netip.Addr{}, Host{Name: canonical(name), SRV: true}
	case isHostName(r.Address):
		return netip.Addr{}, Host{Name: canonical(name)}
	case r.Address != "" && notAnAddress(r.Address) == notNumeric && !parses(r.Address):
		b.add(path+".address", "%q is neither an IP address nor a name with a dot in it", r.Address)
	default:
		return b.address(path+".address", r.Address), Host{}
	}
	return netip.Addr{}, Host{}
}

func parses(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// isHostName tells whether a text can be a name of hosts, with a dot in it: RFC
// 1123, section 2.1, and the underscores of RFC 2782.
func isHostName(text string) bool {
	labels := strings.Split(strings.TrimSuffix(text, "."), ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, func(r rune) bool { return !nameRune(r) || r == '.' || r == ':' }) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(labels) > 1 && len(text) < 254 && strings.Trim(last, "0123456789") != ""
}

// resolver reads how names are looked up.
func (b builder) resolver(path string, r rawResolver) Resolver {
	res := Resolver{MinTTL: r.MinTTL, MaxTTL: r.MaxTTL}
	for i, text := range r.Servers {
		const domain = 53
		if addr, err := netip.ParseAddrPort(text); err == nil && addr.Port() != 0 {
			res.Servers = append(res.Servers, addr)
			continue
		}
		if addr := b.address(at(path, "servers", i), text); addr.IsValid() {
			res.Servers = append(res.Servers, netip.AddrPortFrom(addr, domain))
		}
	}
	ok := b.between(path+".min_ttl", r.MinTTL, time.Second, time.Hour)
	if b.between(path+".max_ttl", r.MaxTTL, time.Second, 24*time.Hour) && ok && r.MaxTTL < r.MinTTL {
		b.add(path+".max_ttl", "%v is shorter than min_ttl, %v", short(r.MaxTTL), short(r.MinTTL))
	}
	return res
}
