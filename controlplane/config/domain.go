// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/page"
)

// Config is a whole configuration, validated: every reference resolves, every
// name is unique within its kind, every default is filled in. It is never
// changed once loaded.
type Config struct {
	Director Director
	Checks   []Check
	Pools    []Pool
	Pages    []Page
	Services []Service
	Admin    Admin

	places  places // of keys in the files, for Problem
	secrets secrets
}

// Director is what concerns this machine and not one service.
type Director struct {
	Name       string      // seeds the phase of checks; default: the host name
	Interfaces []string    // where clients' packets arrive
	Attach     Attach      // where the sorry engine sits on them
	Forwarding Forwarding  // who forwards to real servers
	Addresses  AddressMode // who puts service addresses on interfaces
	OnStop     OnStop      // what a clean stop leaves behind
	// Resync is the time between full comparisons with the kernel.
	Resync time.Duration
	// PinPath is the folder in a BPF file system where programs, links and
	// maps outlive the daemon.
	PinPath string
}

// Attach says where the sorry engine sits on an interface.
type Attach string

// AttachAuto takes XDP and tc where the driver has native XDP, but for veth,
// where answers by XDP need a program on the peer too, and under VLAN devices,
// whose tags drivers take off before XDP; else tc alone.
const (
	AttachAuto Attach = "auto"
	AttachXDP  Attach = "xdp" // XDP and tc; an interface without native XDP is an error
	AttachTC   Attach = "tc"
)

// Forwarding says which engine forwards packets to real servers.
type Forwarding string

// ForwardingAuto takes IPVS where the kernel has it. ForwardingNone leaves
// forwarding to others: maitred then checks, switches and says sorry only.
const (
	ForwardingAuto Forwarding = "auto"
	ForwardingIPVS Forwarding = "ipvs"
	ForwardingNone Forwarding = "none"
)

// AddressMode says who puts the service addresses on the interfaces.
type AddressMode string

// The address modes: maitred manages them, or somebody else does.
const (
	AddressesManage   AddressMode = "manage"
	AddressesExternal AddressMode = "external"
)

// OnStop says what a clean stop leaves in the kernel.
type OnStop string

// OnStopKeep leaves everything in force; OnStopWithdraw takes away all that
// maitred put there.
const (
	OnStopKeep     OnStop = "keep"
	OnStopWithdraw OnStop = "withdraw"
)

// Check is a health check: an object of its own, which any number of pools use.
type Check struct {
	Name    string
	Type    string // a row of the checkers registry
	Port    uint16 // zero: the real server's port, else the type's default
	Timing  checkers.Timing
	Checker checkers.Checker
	// Fingerprint changes when anything above but the name does.
	Fingerprint string
}

// Pool is a set of real servers and the checks that each of them must pass.
type Pool struct {
	Name    string
	Servers []Server
	Checks  []string // names; a server needs all of them
}

// Server is a real server.
type Server struct {
	Name    string
	Address netip.Addr
	Port    uint16 // zero: the port that the client asked for
	Weight  int    // 1 to 65535
}

// Page is a sorry page, read and built.
type Page struct {
	Name string
	// Image is the response as the kernel sends it.
	Image page.Image
}

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
// routing by MAC address, IP-in-IP tunnel.
const (
	NAT Method = "nat"
	DR  Method = "dr"
	TUN Method = "tun"
)

// Service is a virtual service: one pool behind any number of addresses and
// ports, which live and say sorry together. A service that the file gives
// addresses of both families is two here, called NAME/ipv4 and NAME/ipv6: an
// address is served by the servers of its own family, and those of the other
// may all be down.
type Service struct {
	Name      string
	Addresses []netip.Addr // at least one, all of one family
	Ports     []uint16
	Protocol  Protocol
	Scheduler string // wlc, wrr, rr, mh or sh
	Method    Method
	Pool      string
	Quorum    Quorum
	Sorry     Sorry
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
}

// Sorry says what clients hear while a service is below its quorum.
type Sorry struct {
	Page    string        // name of a page; empty: nothing is answered
	Linger  time.Duration // how long exchanges in flight are finished after the service is back
	Orphans Orphans
}

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

// Admin says where the daemon is spoken to.
type Admin struct {
	Socket string // path of the unix socket
}

// Page returns the page of that name.
func (c *Config) Page(name string) (Page, bool) {
	for _, p := range c.Pages {
		if p.Name == name {
			return p, true
		}
	}
	return Page{}, false
}

// Pool returns the pool of that name.
func (c *Config) Pool(name string) (Pool, bool) {
	for _, p := range c.Pools {
		if p.Name == name {
			return p, true
		}
	}
	return Pool{}, false
}

// Service returns the service of that name.
func (c *Config) Service(name string) (Service, bool) {
	for _, s := range c.Services {
		if s.Name == name {
			return s, true
		}
	}
	return Service{}, false
}

// Check returns the check of that name.
func (c *Config) Check(name string) (Check, bool) {
	for _, k := range c.Checks {
		if k.Name == name {
			return k, true
		}
	}
	return Check{}, false
}

// Serving lists the servers of the pool that can serve the service: those of its
// address family.
func (p Pool) Serving(s Service) []Server {
	var out []Server
	for _, server := range p.Servers {
		if len(s.Addresses) > 0 && server.Address.Is4() == s.Addresses[0].Is4() {
			out = append(out, server)
		}
	}
	return out
}

// Target is where a check probes a real server: the check's own port, else the
// server's, else the default of the check's type.
func (k Check) Target(s Server, defaultPort uint16) netip.AddrPort {
	port := k.Port
	if port == 0 {
		port = s.Port
	}
	if port == 0 {
		port = defaultPort
	}
	return netip.AddrPortFrom(s.Address, port)
}
