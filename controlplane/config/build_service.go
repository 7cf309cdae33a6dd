// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (b builder) services(cfg *Config) []Service {
	if len(b.raw.Services) == 0 && b.ok("services") {
		b.missing("services", "a director has at least one virtual service")
	}
	var services []Service
	var names []string
	taken := map[Virtual]taker{}
	for i, r := range b.raw.Services {
		path := at("services", i)
		s := b.service(path, r, cfg)
		b.claim(path, s, taken)
		parts := byFamily(s)
		for _, part := range parts {
			pool, _ := cfg.Pool(s.Pool)
			b.reachable(path, part, pool)
			for _, part := range part.ByPool() {
				pool, _ := cfg.Pool(part.Pool)
				b.destinations(path, part, pool)
				b.tunnelled(path, part, pool)
			}
		}
		services = append(services, parts...)
		for range parts {
			cfg.origins = append(cfg.origins, i)
		}
		names = append(names, r.Name)
	}
	b.names("services", names)
	return services
}

func (b builder) service(path string, r rawService, cfg *Config) Service {
	s := Service{
		Name:      r.Name,
		Protocol:  Protocol(r.Protocol),
		Scheduler: r.Scheduler,
		Hash:      Hash(r.Hash),
		Method:    Method(r.Method),
		OnDown:    OnDown(r.OnDown),
		Pool:      r.Pool,
	}
	b.enum(path+".protocol", r.Protocol, "a protocol", string(TCP), string(UDP))
	b.enum(path+".method", r.Method, "a forwarding method", string(NAT), string(DR), string(TUN), string(FULLNAT))
	b.enum(path+".on_down", r.OnDown, "what can become of connections", string(OnDownReset), string(OnDownRepick), string(OnDownKeep))
	b.scheduler(path, r)
	s.Tunnel = b.tunnel(path, r)
	s.Addresses = b.addresses(path+".addresses", r.Addresses)
	s.Ports = b.ports(path+".ports", r.Ports)
	s.Quorum = b.quorum(path+".quorum", r.Quorum)
	s.Sorry = b.sorry(path+".sorry", r.Sorry, s.Protocol, cfg.Pages)
	s.Shed = b.shed(path+".shed", r.Shed, s, cfg.Pages)
	switch {
	case r.Pool == "":
		b.missing(path+".pool", "name the pool of its real servers")
	case b.reference(path+".pool", "pool", r.Pool, poolNames(cfg.Pools)):
		pool, _ := cfg.Pool(r.Pool)
		b.families(path+".addresses", r.Addresses, s.Method, pool)
		b.translation(path, s, pool)
	}
	b.masquerade(path, s, cfg.Director)
	s.Sorry = b.reserve(path+".sorry", r.Sorry, s, cfg)
	return s
}

// byFamily makes two services of one that has addresses of both families.
func byFamily(s Service) []Service {
	four, six := s, s
	four.Name, six.Name = s.Name+"/ipv4", s.Name+"/ipv6"
	four.Addresses, six.Addresses = nil, nil
	for _, a := range s.Addresses {
		if a.Is4() {
			four.Addresses = append(four.Addresses, a)
		} else {
			six.Addresses = append(six.Addresses, a)
		}
	}
	if len(four.Addresses) == 0 || len(six.Addresses) == 0 {
		return []Service{s}
	}
	return []Service{four, six}
}

func (b builder) addresses(path string, texts []string) []netip.Addr {
	if len(texts) == 0 && b.ok(path) {
		b.missing(path, "give at least one address")
	}
	return b.hosts(path, texts)
}

func (b builder) ports(path string, numbers []int) []uint16 {
	if len(numbers) == 0 && b.ok(path) {
		b.missing(path, "give at least one port")
	}
	var ports []uint16
	for i, number := range numbers {
		port := b.port(at(path, i), number)
		if port == 0 {
			continue
		}
		if slices.Contains(ports, port) {
			b.add(at(path, i), "%d is given twice", port)
			continue
		}
		ports = append(ports, port)
	}
	return ports
}

// taker is the service that has an address, port and protocol.
type taker struct{ path, name string }

// claim reports what another service has already.
func (b builder) claim(path string, s Service, taken map[Virtual]taker) {
	for _, v := range s.Virtuals() {
		if first, ok := taken[v]; ok {
			b.add(path+".ports", "%v/%s belongs to service %q already: %v", v.Addr, v.Proto, first.name, b.places.of(first.path))
			continue
		}
		taken[v] = taker{path, s.Name}
	}
}

func (b builder) quorum(path string, r rawQuorum) Quorum {
	least, percent := b.amount(path+".min", r.Min)
	most, same := b.amount(path+".hysteresis", r.Hysteresis)
	if !b.ok(path+".min", path+".hysteresis") {
		return Quorum{}
	}
	switch {
	case least < 1:
		b.add(path+".min", "%q is below 1", r.Min)
	case most != 0 && same != percent:
		b.add(path+".hysteresis", "%q is not in the unit of min, %q: both are servers or both per cent", r.Hysteresis, r.Min)
	case most >= least:
		b.add(path+".hysteresis", "%q is not below min, %q: the service would never go down", r.Hysteresis, r.Min)
	}
	b.enum(path+".below", r.Below, "what a service can do below its quorum", string(BelowSorry), string(BelowKeep), string(BelowAll))
	return Quorum{Min: least, Hysteresis: most, Percent: percent, Below: Below(r.Below)}
}

// amount reads a number of servers, or per cent.
func (b builder) amount(path, text string) (n int, percent bool) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 0:
		b.add(path, `%q is not a number of servers, nor per cent as in "50%%"`, text)
	case percent && n > 100:
		b.add(path, "%q is over 100%%", text)
	}
	return n, percent
}

// reachable reports a quorum that the servers cannot meet.
func (b builder) reachable(path string, s Service, pool Pool) {
	q, servers := s.Quorum, len(pool.Serving(s))
	if servers == 0 || pool.named() || !b.ok(path+".quorum.min", path+".quorum.hysteresis", path+".quorum") {
		return
	}
	most, of := servers, fmt.Sprintf("the %d servers of pool %q", servers, pool.Name)
	if servers < len(pool.Servers) {
		of += " that are of the address's family"
	}
	if q.Percent {
		most, of = 100, "100%"
	}
	if need := q.Min + q.Hysteresis; need > most {
		what := "min is"
		if q.Hysteresis > 0 {
			what = "min and hysteresis together are"
		}
		b.add(path+".quorum.min", "can never be reached: %s %d, over %s", what, need, of)
	}
}

func (b builder) sorry(path string, r rawSorry, proto Protocol, pages []Page) Sorry {
	s := Sorry{Linger: r.Linger, Orphans: Orphans(r.Orphans)}
	b.enum(path+".orphans", r.Orphans, "what can become of orphans", string(OrphansAuto), string(OrphansReset), string(OrphansPass), string(OrphansDrop))
	b.between(path+".linger", r.Linger, 0, time.Hour)
	reserved := r.Pool != "" || r.Server != ""
	switch {
	case r.Page == noPage:
	case proto == UDP && !b.given(path+".page"):
		if b.given(path) && !reserved {
			b.add(path, "has no page, and none is usual for udp: name one of protocol dns or unreachable")
		}
	case b.reference(path+".page", "page", r.Page, pageNames(pages)):
		s.Page = r.Page
		b.suits(path+".page", r.Page, proto, pages)
	}
	return s
}

// suits reports a page that a service of that transport cannot have.
func (b builder) suits(path, name string, transport Protocol, pages []Page) {
	i := slices.IndexFunc(pages, func(p Page) bool { return p.Name == name })
	if i < 0 || pages[i].Suits(transport) {
		return
	}
	switch p := pages[i].Protocol; {
	case transport == UDP && p.OverTCP():
		b.add(path, "page %q is of protocol %s: a udp service may have pages of dns and unreachable alone", name, p)
	case transport == TCP && p.OverUDP():
		b.add(path, "page %q is of protocol %s, which is for udp", name, p)
	}
}

func poolNames(pools []Pool) []string {
	names := make([]string, len(pools))
	for i, p := range pools {
		names[i] = p.Name
	}
	return names
}

func pageNames(pages []Page) []string {
	names := make([]string, len(pages))
	for i, p := range pages {
		names[i] = p.Name
	}
	return names
}
