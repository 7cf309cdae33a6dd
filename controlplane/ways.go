// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
)

// How often the ways to the servers are looked up and their next hops resolved,
// whatever happens, and how often at most, however many routes change. Where there
// are very many, so many times what it took comes between.
const (
	wayPeriod = 5 * time.Second
	wayPause  = 500 * time.Millisecond
	wayShare  = 50
)

// ways finds the ways to real servers, and keeps their next hops warm: the eBPF
// engine can only look up what the kernel has resolved.
type ways struct {
	routes reconcile.Router
	links  reconcile.LinkTable
	of     func(*config.Config) []netip.Addr // to whom
	log    *slog.Logger
	due    chan struct{} // a look is

	mu   sync.Mutex
	told map[string]string // what was logged last, by what it was about; guarded by mu
}

func newWays(routes reconcile.Router, links reconcile.LinkTable, of func(*config.Config) []netip.Addr, log *slog.Logger) *ways {
	return &ways{routes: routes, links: links, of: of, log: log, due: make(chan struct{}, 1), told: map[string]string{}}
}

// look calls for a look at all ways and returns at once.
func (w *ways) look() {
	select {
	case w.due <- struct{}{}:
	default: // one is due already
	}
}

// run looks and resolves until ctx ends.
func (w *ways) run(ctx context.Context, e *engine) error {
	period := time.NewTimer(wayPeriod)
	defer period.Stop()
	took := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.due:
			if !pause(ctx, max(wayPause, wayShare*took)) {
				return nil
			}
			took = timed(e.reroute)
		case <-period.C:
			took = timed(e.reroute)
			period.Reset(max(wayPeriod, wayShare*(took+timed(func() { w.warm(e.known()) }))))
		}
	}
}

func timed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// pause waits for d and tells whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// warm has the kernel resolve the next hop of each way, or confirm it.
func (w *ways) warm(env reconcile.Env) {
	hops := map[reconcile.Path]bool{}
	var first error
	for _, p := range env.Paths {
		hop := reconcile.Path{Interface: p.Interface, Index: p.Index, Gateway: p.Gateway}
		if hops[hop] || !env.Links[p.Interface].Ethernet {
			continue
		}
		hops[hop] = true
		if err := w.routes.Use(hop); err != nil && first == nil {
			first = err
		}
	}
	w.tell("the next hop of a server is not kept resolved", first)
}

// tell logs an error once, as long as it lasts.
func (w *ways) tell(what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if text != "" && text != w.told[what] {
		w.log.Warn("the ways to the servers are not kept as they should be", "what", what, "error", err)
	}
	w.told[what] = text
}

// survey looks up all ways that a configuration needs.
func (w *ways) survey(cfg *config.Config, known reconcile.Env) reconcile.Env {
	return w.find(w.of(cfg), cfg, known)
}

// extend looks up the ways to those servers that are not known.
func (w *ways) extend(cfg *config.Config, known reconcile.Env) reconcile.Env {
	addrs := w.of(cfg)
	missing := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		_, there := known.Paths[a]
		return there
	})
	env := w.find(missing, cfg, known)
	for _, a := range addrs {
		if p, there := known.Paths[a]; there {
			env.Paths[a] = p
			if _, there := env.Links[p.Interface]; !there {
				env.Links[p.Interface] = known.Links[p.Interface]
			}
		}
	}
	return env
}

func (w *ways) find(addrs []netip.Addr, cfg *config.Config, known reconcile.Env) reconcile.Env {
	paths, links, err := reconcile.Survey(w.routes, w.links, addrs, cfg.Director.Interfaces, known.Paths)
	w.tell("the ways to the servers are not all known", err)
	if links == nil { // nothing is
		paths, links = maps.Clone(known.Paths), maps.Clone(known.Links)
	}
	if paths == nil {
		paths = map[netip.Addr]reconcile.Path{}
	}
	if links == nil {
		links = map[string]reconcile.Link{}
	}
	return reconcile.Env{Paths: paths, Links: links}
}

// serverAddrs are the addresses of the servers of all pools that a service has, and
// those that this machine should have.
func serverAddrs(cfg *config.Config) []netip.Addr {
	var addrs []netip.Addr
	for _, c := range cfg.Services {
		for _, server := range cfg.Reached(c) {
			addrs = append(addrs, server.Address)
		}
	}
	addrs = append(addrs, reconcile.LocalAddrs(cfg)...)
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// askedAddrs are the addresses of the servers whose answers to checks via the data
// path IPVS does not bring back, and those that this machine should have.
func askedAddrs(cfg *config.Config) []netip.Addr {
	addrs := reconcile.LocalAddrs(cfg)
	for e := range cfg.Errands() {
		c, _ := cfg.Service(e.Service)
		pool, _ := cfg.Pool(e.Pool)
		for _, server := range pool.Servers {
			if server.Name == e.Server && c.Method != config.NAT {
				addrs = append(addrs, server.Address)
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

func sameWays(a, b reconcile.Env) bool {
	return maps.Equal(a.Paths, b.Paths) && maps.Equal(a.Links, b.Links)
}
