// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Protocol is the transport of a virtual service.
type Protocol string

// The protocols of virtual services.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Method is how a packet reaches a real server.
type Method string

// The forwarding methods: masquerading with the director as gateway, direct
// routing by MAC address, a tunnel, and masquerading behind an address of the
// director, which no server has to route by.
const (
	NAT     Method = "nat"
	DR      Method = "dr"
	TUN     Method = "tun"
	FULLNAT Method = "fullnat"
)

// TunnelKind is the header that a tunnel puts before a packet.
type TunnelKind string

// The kinds of tunnel: IP in IP (RFC 2003, RFC 2473, and across the families),
// and Generic UDP Encapsulation, variant 0 (draft-ietf-intarea-gue).
const (
	TunnelIPIP TunnelKind = "ipip"
	TunnelGUE  TunnelKind = "gue"
)

// Tunnel is how packets travel to the servers of a service of method tun.
type Tunnel struct {
	Kind TunnelKind
	Port uint16 // of UDP, where the servers listen for GUE; zero for IP in IP
}

// Hash says what of a client the schedulers mh and sh go by.
type Hash string

// HashAddress sends all connections of a client to one server; HashPort each to
// one by the client's address and port.
const (
	HashAddress Hash = "address"
	HashPort    Hash = "port"
)

// OnDown says what becomes of the connections of a server that is down.
type OnDown string

// OnDownReset resets those of TCP, at their next packet; datagrams go to another
// server, as all does with OnDownRepick. OnDownKeep lets them go on to the server.
const (
	OnDownReset  OnDown = "reset"
	OnDownRepick OnDown = "repick"
	OnDownKeep   OnDown = "keep"
)

// Service is a virtual service: one pool behind any number of addresses and
// ports, which live and say sorry together. A service that the file gives
// addresses of both families is two here, called NAME/ipv4 and NAME/ipv6: an
// address is served by the servers of its own family, and those of the other
// may all be down. See Pool.Serving for tunnels.
type Service struct {
	Name      string
	Addresses []netip.Addr // at least one, all of one family
	Ports     []uint16
	Protocol  Protocol
	Scheduler string // as IPVS calls it; empty: see SchedulerFor
	Hash      Hash   // of mh and sh
	Method    Method
	Tunnel    Tunnel // of method tun
	OnDown    OnDown
	Pool      string
	Quorum    Quorum
	Sorry     Sorry
	Shed      Shed
}

// Virtual names one address, port and protocol of a service. It is the key of
// the kernel's service map and of an IPVS service.
type Virtual struct {
	Addr  netip.AddrPort
	Proto Protocol
}

// Virtuals lists the service's addresses and ports, addresses first.
func (s Service) Virtuals() []Virtual {
	var out []Virtual
	for _, a := range s.Addresses {
		for _, p := range s.Ports {
			out = append(out, Virtual{Addr: netip.AddrPortFrom(a, p), Proto: s.Protocol})
		}
	}
	return out
}

// Quorum says when a service is up: as in keepalived it comes up when the live
// servers reach Min + Hysteresis and goes down when they fall below
// Min - Hysteresis.
type Quorum struct {
	Min        int // live servers, or per cent of the pool's weight
	Hysteresis int // in the same unit
	Percent    bool
	Below      Below
}

// Below says what a service does that is below its quorum.
type Below string

// BelowSorry says sorry, or has those in reserve serve. BelowKeep goes on with the
// servers that are up, however few. BelowAll sends to all servers, whatever their
// checks say, but to those that an operator has put out of service.
const (
	BelowSorry Below = "sorry"
	BelowKeep  Below = "keep"
	BelowAll   Below = "all"
)

// Sorry says what clients hear while a service is below its quorum.
type Sorry struct {
	Page string // name of a page; empty: nothing is answered
	// Pool is the name of the pool that serves in place of the service's own
	// while that is below its quorum and this one has a server up; empty: none.
	Pool string
	// TLS is of this machine's sorry server, which is then the only one of Pool.
	TLS     TLS
	Linger  time.Duration // how long exchanges in flight are finished after the service is back
	Orphans Orphans
}

// Shed says when a service turns some of its new clients away, so that those
// whom it admits are served well. Zero values are off.
type Shed struct {
	Connections  int     // shed from so many open connections on
	NewPerSecond int     // and from so many new ones in a second
	Overloaded   bool    // and while every server that is up has its upper threshold of connections
	Fraction     float64 // the part of the new connections that get the page, above 0 and at most 1
	Page         string  // the name of the page that they get
}

// Limits tells whether there is a load from which a service sheds.
func (s Shed) Limits() bool { return s.Connections > 0 || s.NewPerSecond > 0 || s.Overloaded }

// Orphans says what becomes of packets of connections that were open before
// the outage.
type Orphans string

// OrphansAuto passes them on while a server is up, or one that failed its checks
// still accepts connections, and resets them when none does.
const (
	OrphansAuto  Orphans = "auto"
	OrphansReset Orphans = "reset"
	OrphansPass  Orphans = "pass"
	OrphansDrop  Orphans = "drop"
)

// Serving lists the servers of the pool that can serve the service: those of its
// address family, and this machine. Where there is none, a tunnel goes to those of
// the other.
func (p Pool) Serving(s Service) []Server {
	if len(s.Addresses) == 0 {
		return nil
	}
	ofFamily := func(server Server) bool { return server.Local || server.Address.Is4() == s.Addresses[0].Is4() }
	if s.Method == TUN && !slices.ContainsFunc(p.Servers, ofFamily) {
		return p.Servers
	}
	var out []Server
	for _, server := range p.Servers {
		if ofFamily(server) {
			out = append(out, server)
		}
	}
	return out
}

// serves tells whether the server is one of Serving.
func (p Pool) serves(s Service, server Server) bool {
	if server.Local || server.Address.Is4() == s.Addresses[0].Is4() {
		return true
	}
	return s.Method == TUN && !slices.ContainsFunc(p.Servers, func(other Server) bool {
		return other.Address.Is4() != server.Address.Is4()
	})
}

// SchedulerFor is the scheduler that the service has with an engine: the
// engine's own default where the file says nothing.
func (s Service) SchedulerFor(f Forwarding) string {
	switch {
	case s.Scheduler != "":
		return s.Scheduler
	case f == ForwardingEBPF:
		return "wrr" // exact there, and it has no counts for wlc
	}
	return "wlc"
}

// Given is the name that the service has in the file, without its family.
func (s Service) Given() string {
	name, _, _ := strings.Cut(s.Name, "/") // which no name holds
	return name
}

// Asked is where a check via the data path asks a server of the pool: the first
// address that the server serves of the check's service, and its first port. It
// tells of which service that is; false where the server serves none of it.
func (c *Config) Asked(k Check, pool Pool, server Server) (Service, netip.AddrPort, bool) {
	for _, s := range c.Services {
		if k.Via == ViaDataplane && s.Given() == k.Service && s.Pool == pool.Name && len(s.Addresses) > 0 && pool.serves(s, server) {
			return s, netip.AddrPortFrom(s.Addresses[0], s.Ports[0]), true
		}
	}
	return Service{}, netip.AddrPort{}, false
}
