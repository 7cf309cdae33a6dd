// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
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
	Guard    Guard

	places  places // of keys in the files, for Problem
	secrets secrets
	origins []int // of each service, which it is in the files: of two families one
}

// Director is what concerns this machine and not one service.
type Director struct {
	Name       string     // seeds the phase of checks; default: the host name
	Interfaces []string   // where clients' packets arrive
	Attach     Attach     // where the sorry engine sits on them
	Forwarding Forwarding // who forwards to real servers
	// Connections and FullNAT are of the eBPF engine alone.
	Connections Connections
	FullNAT     FullNAT
	Addresses   AddressMode // who puts service addresses on interfaces
	OnStop      OnStop      // what a clean stop leaves behind
	// Resync is the time between full comparisons with the kernel.
	Resync time.Duration
	// CookieSecret is what the keys of cookies are made from, so that all directors
	// that have it take over each other's exchanges; zero: keys of chance.
	CookieSecret Secret
	// Absence is what becomes of the services when the daemon has been gone for
	// AbsentAfter.
	Absence     Absence
	AbsentAfter time.Duration
	// PinPath is the folder in a BPF file system where programs, links and
	// maps outlive the daemon.
	PinPath string
	// StateDir is the folder of what outlives the machine's kernel: what operators
	// have said.
	StateDir string
	Resolver Resolver
}

// Absence is what the kernel does without a daemon.
type Absence string

// AbsenceKeep goes on with what was decided last; AbsencePass forwards what comes
// to services that say sorry; AbsenceSorry answers with their pages what comes to
// services that serve.
const (
	AbsenceKeep  Absence = "keep"
	AbsencePass  Absence = "pass"
	AbsenceSorry Absence = "sorry"
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

// Guard freezes switching when too many servers seem to fail at once. Without
// canaries there is none.
type Guard struct {
	Fraction float64       // more than this part of all servers with checks, up to 1
	Within   time.Duration // go down in this time
	Max      time.Duration // how long it lasts at most
	Canaries []Canary      // and all of these fail
}

// Canary is a check of something that the director sees all servers through.
type Canary struct {
	Check  string
	Target netip.Addr
}

// Check is a health check: an object of its own, which any number of pools use.
type Check struct {
	Name         string
	Type         string // a row of the checkers registry
	Port         uint16 // zero: the real server's port, else DefaultPort
	DefaultPort  uint16 // of the type; zero: it has none
	Portless     bool   // the type asks no port of a server
	PortOptional bool   // it may have none to ask: its target's port is 0 then
	Via          Via
	// Service is whose address a check via the data path asks, by its name in
	// the file: see Config.Asked. Empty otherwise.
	Service string
	Origin  kind.Origin // where its packets come from
	Timing  checkers.Timing
	Checker checkers.Checker // from Origin already
	// Fingerprint changes when anything above but the name does.
	Fingerprint string
}

// Via is the way that a check takes to a server.
type Via string

// ViaDirect connects to the server's own address. ViaDataplane connects to the
// address of a service as a client does, and the forwarding engine takes the
// probe to the server that is asked: a server that does not answer for the
// service's address is found out. ViaVRF connects to the server's own address by
// the tables of a VRF, and ViaNetns from a network namespace.
const (
	ViaDirect    Via = "direct"
	ViaDataplane Via = "dataplane"
	ViaVRF       Via = "vrf"
	ViaNetns     Via = "netns"
)

// Pool is a set of real servers and the checks that decide on each of them.
type Pool struct {
	Name    string
	Servers []Server
	Hosts   []Server // what the servers have in common that a name leads to
	Checks  []string // names, each once
	// UpWhen tells when a server is up, of Checks; the zero value: when all pass. See
	// When.
	UpWhen Expr
	// Degraded is the part of its weight that a server has whose checks pass, and one
	// of them says degraded and not how much is left; zero: all of it.
	Degraded float64
}

// Server is a real server.
type Server struct {
	Name    string
	Host    Host // whose address it is; the zero value: the file says the address
	Address netip.Addr
	Port    uint16 // zero: the port that the client asked for
	Weight  int    // 1 to 65535
	// MTU of the way to the server, in bytes of an IP packet; zero: as the
	// director's routes say. Of the eBPF engine alone.
	MTU int
	// UpperThreshold is how many connections the server is meant to have at most;
	// zero: any number.
	UpperThreshold int
	// SlowStart is the time in which the weight of the server grows after it came up;
	// zero: it has all of it at once.
	SlowStart time.Duration
	// Local tells that the server is this machine itself, at the service's own
	// address and port: a sorry server. Address and Port are zero.
	Local bool
}

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

// Target is where a check probes a real server: the check's own port, else the
// server's, else the default of the check's type; zero where it asks no port.
func (k Check) Target(s Server) netip.AddrPort {
	if k.Portless {
		return netip.AddrPortFrom(s.Address, 0)
	}
	port := k.Port
	if port == 0 {
		port = s.Port
	}
	if port == 0 {
		port = k.DefaultPort
	}
	return netip.AddrPortFrom(s.Address, port)
}
