// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// nameServer answers every question with one address, if it has any, which a test
// changes.
func nameServer(t *testing.T, address *atomic.Value) netip.AddrPort {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if a := address.Load().(string); a == "" {
			answer.Rcode = dns.RcodeServerFailure
		} else if rr, err := dns.NewRR(q.Question[0].Name + " 1 A " + a); err == nil {
			answer.Answer = append(answer.Answer, rr)
		}
		_ = w.WriteMsg(answer)
	})}
	started, done := make(chan struct{}), make(chan error, 1)
	server.NotifyStartedFunc = func() { close(started) }
	go func() { done <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	return netip.MustParseAddrPort(packets.LocalAddr().String())
}

// awaitServers returns once the daemon's servers are those.
func (r *rig) awaitServers(want ...string) {
	r.t.Helper()
	var names []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		names = nil
		for _, s := range r.status().Servers {
			names = append(names, s.Name)
		}
		if slices.Equal(names, want) {
			return
		}
	}
	r.t.Fatalf("servers %v, want %v", names, want)
}

// TestServersByName has the servers follow the DNS, over an outage, a reload and a
// restart.
func TestServersByName(t *testing.T) {
	var address atomic.Value
	address.Store("10.0.0.1")
	at := nameServer(t, &address)
	var cfg *config.Config
	r := newRig(t, func(r *rig) {
		file := filepath.Join(filepath.Dir(r.socket), "maitred.yaml")
		text := fmt.Sprintf(`director: {interfaces: [eth0], state_dir: %q, resolver: {servers: ["%s"], min_ttl: 1s, max_ttl: 1s}}
pools: [{name: app, servers: [{address: app.example, name: app}]}]
services: [{name: shop, addresses: [192.0.2.10], ports: [80], pool: app}]
admin: {socket: %q}
`, filepath.Dir(r.socket), at, r.socket)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if cfg, err = config.Load(file); err != nil {
			t.Fatal(err)
		}
		r.config = cfg
	})
	r.start()
	r.awaitServers("app@10.0.0.1")
	address.Store("10.0.0.2")
	r.awaitServers("app@10.0.0.2")
	var told []string
	err := r.client.Events(t.Context(), api.Query{N: -1}, func(e api.Event) error {
		if e.Kind == "name" {
			told = append(told, e.Name+" "+e.Reason)
		}
		return nil
	})
	if err != nil || !slices.Contains(told, "app.example leads to 10.0.0.2") {
		t.Errorf("told %q, %v", told, err)
	}
	address.Store("")
	if got, err := r.client.Reload(t.Context()); err != nil || !got.OK {
		t.Errorf("reload: %+v, %v", got, err)
	}
	r.awaitServers("app@10.0.0.2")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, func(next *rig) { next.config, next.socket, next.client = cfg, r.socket, r.client })
	again.start()
	again.awaitServers("app@10.0.0.2")
}

// TestRefusedReloadKeepsTheNews: a configuration that is refused in the end had names
// looked up, and nobody would hear of it again before the next change.
func TestRefusedReloadKeepsTheNews(t *testing.T) {
	var address atomic.Value
	address.Store("10.0.0.1")
	at := nameServer(t, &address)
	r := newRig(t, nil)
	r.engine.by = config.ForwardingEBPF
	load := func(scheduler, server, service string) *config.Config {
		file := filepath.Join(t.TempDir(), "maitred.yaml")
		text := fmt.Sprintf(`director: {name: lb1, interfaces: [eth0], state_dir: %q, resolver: {servers: ["%s"], min_ttl: 1h, max_ttl: 1h}}
pools: [{name: app, servers: [{address: app.example, name: app}%s]}]
services: [{name: shop, addresses: [192.0.2.10], ports: [80], pool: app, scheduler: %s}%s]
admin: {socket: %q}
`, filepath.Dir(r.socket), at, server, scheduler, service, r.socket)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	s := New(r.options())
	cfg := load("wrr", "", "")
	s.openNames(cfg)
	cfg = s.resolve(t.Context(), cfg)
	s.parts, _ = r.wire(cfg, Inputs{})
	s.adopt(t.Context(), cfg)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = s.decider.Run(ctx) }()
	defer func() { cancel(); <-s.decider.gone }()
	address.Store("10.0.0.2")
	// Its other name is waited for, its other family makes the first due at once, and
	// its scheduler has it refused.
	r.set(load("wlc", ", {address: other.example}", `, {name: six, addresses: ["2001:db8::10"], ports: [80], pool: app}`), nil)
	if got := s.Reload(t.Context()); got.OK || len(got.Errors) == 0 {
		t.Fatalf("reload: %+v", got)
	}
	got := s.current()
	if len(got.Services) != 1 || len(got.Pools[0].Servers) != 1 || got.Pools[0].Servers[0].Name != "app@10.0.0.2" {
		t.Errorf("in force are %d services with %+v", len(got.Services), got.Pools[0].Servers)
	}
}
