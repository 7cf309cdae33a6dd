// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// Traffic is what the engine that forwards tells of it.
type Traffic interface {
	// States names the states that a flow can be in.
	States() []string
	// Flows hands each flow to yield until it returns false.
	Flows(yield func(Flow) bool) error
	// Load counts what there is and was, by the names of the configuration.
	Load(cfg *config.Config) (Load, error)
}

// Flow is one connection of a client as the engine that forwards it knows it.
type Flow struct {
	Virtual config.Virtual
	Client  netip.AddrPort
	Server  netip.AddrPort // zero: it is gone; port 0: the one that the client asked for
	Source  netip.AddrPort // full NAT: what the server takes for the client
	State   string         // one of Traffic.States
	Idle    time.Duration  // since its last packet; negative: not told
	Left    time.Duration  // until it is forgotten
}

// Load counts connections. What is missing was not told.
type Load struct {
	Servers map[state.ServerID]api.Traffic
	// Open counts the connections of a server that are neither over nor just begun.
	Open     map[state.ServerID]int
	OpenOf   map[config.Virtual]int    // and of a service
	Services map[config.Virtual]int    // active connections
	Opened   map[config.Virtual]uint64 // connections that there were, where nobody else counts them
	Table    *api.FlowTable
}

// Connections hands each connection that the filter wants to yield, and ends
// with the first error of it.
func (s *Server) Connections(ctx context.Context, f api.Filter, yield func(api.Connection) error) error {
	cfg := s.current()
	if s.parts.Traffic == nil {
		_, note := s.parts.Engine.Forwarding(cfg.Director.Forwarding)
		return fmt.Errorf("there are no connections to list: nothing is forwarded here (%s)", note)
	}
	if err := checkFilter(f, cfg, s.parts.Traffic.States()); err != nil {
		return err
	}
	names := newNames(cfg)
	var failed error
	left := f.Limit
	err := s.parts.Traffic.Flows(func(flow Flow) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		if !wants(f, flow, names) {
			return true
		}
		failed = yield(names.connection(flow))
		left--
		return failed == nil && left != 0
	})
	return errors.Join(failed, err)
}

// checkFilter refuses names that there are not: a filter that can match nothing
// looks like a director without clients.
func checkFilter(f api.Filter, cfg *config.Config, states []string) error {
	var services, servers []string
	for _, s := range cfg.Services {
		services = append(services, s.Name)
	}
	for _, p := range cfg.Pools {
		for _, s := range p.Servers {
			servers = append(servers, p.Name+"/"+s.Name)
		}
	}
	if _, err := netip.ParseAddr(f.Server); err == nil {
		servers = append(servers, f.Server)
	}
	if _, err := netip.ParseAddrPort(f.Server); err == nil {
		servers = append(servers, f.Server)
	}
	for _, one := range []struct {
		kind, name string
		known      []string
	}{{"service", f.Service, services}, {"server", f.Server, servers}, {"state", f.State, states}} {
		if one.name != "" && !slices.Contains(one.known, one.name) {
			return &api.FilterError{Text: fmt.Sprintf("there is no %s %q%s: there are %s",
				one.kind, one.name, config.DidYouMean(one.name, one.known), few(one.known))}
		}
	}
	return nil
}

// few lists names, of many only the first.
func few(names []string) string {
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// wants tells whether a flow passes the filter; most of a million may not.
func wants(f api.Filter, flow Flow, n names) bool {
	return (f.State == "" || f.State == flow.State) &&
		(f.Proto == "" || f.Proto == string(flow.Virtual.Proto)) &&
		(!f.Client.IsValid() || f.Client.Contains(flow.Client.Addr())) &&
		(f.Service == "" || f.Service == n.services[flow.Virtual]) &&
		(f.Server == "" || f.Server == n.server(flow) || f.Server == flow.Server.Addr().String() || f.Server == flow.at().String())
}

// at is where the server of a flow was asked.
func (f Flow) at() netip.AddrPort {
	if f.Server.IsValid() && f.Server.Port() == 0 {
		return netip.AddrPortFrom(f.Server.Addr(), f.Virtual.Addr.Port())
	}
	return f.Server
}

// names finds services and servers by the addresses that the kernel knows.
type names struct {
	services map[config.Virtual]string
	servers  map[string]map[netip.AddrPort]string // by service
}

func newNames(cfg *config.Config) names {
	n := names{map[config.Virtual]string{}, map[string]map[netip.AddrPort]string{}}
	for _, service := range cfg.Services {
		servers := map[netip.AddrPort]string{}
		for _, part := range service.ByPool() {
			pool, _ := cfg.Pool(part.Pool)
			for _, server := range pool.Serving(part) {
				if !server.Local {
					servers[netip.AddrPortFrom(server.Address, server.Port)] = pool.Name + "/" + server.Name
					continue
				}
				for _, a := range service.Addresses { // as the kernel knows it
					servers[netip.AddrPortFrom(a, 0)] = pool.Name + "/" + server.Name
				}
			}
		}
		n.servers[service.Name] = servers
		for _, v := range service.Virtuals() {
			n.services[v] = service.Name
		}
	}
	return n
}

// server is the name of the flow's server; empty if its service has none such.
func (n names) server(f Flow) string {
	servers := n.servers[n.services[f.Virtual]]
	if name, ok := servers[f.at()]; ok {
		return name
	}
	return servers[netip.AddrPortFrom(f.Server.Addr(), 0)]
}

func (n names) connection(f Flow) api.Connection {
	c := api.Connection{
		Protocol: string(f.Virtual.Proto), Client: f.Client.String(), Service: n.services[f.Virtual],
		Virtual: f.Virtual.Addr.String(), State: f.State, Left: f.Left.Seconds(),
	}
	if f.Server.IsValid() {
		c.Server, c.Address = n.server(f), f.at().String()
	}
	if f.Source.IsValid() {
		c.Source = f.Source.String()
	}
	if f.Idle >= 0 {
		idle := f.Idle.Seconds()
		c.Idle = &idle
	}
	return c
}
