// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/resolver"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// firstLook is how long a start or a reload waits for names that were never looked
// up. Those that are not answered by then have no servers until they are.
const firstLook = 3 * time.Second

// namesFile is named after the folder of pins, which is one daemon's alone.
func namesFile(cfg *config.Config) string {
	return filepath.Join(cfg.Director.StateDir, "names"+strings.ReplaceAll(cfg.Director.PinPath, "/", "-")+".json")
}

// openNames makes what looks up the names of servers. What it knew before is worth
// having, and nothing depends on it.
func (s *Server) openNames(cfg *config.Config) {
	var err error
	s.names, err = resolver.NewKeeper(resolver.Options{
		File: namesFile(cfg), Keep: replaceFile, Told: s.toldName, Changed: s.renamed,
	})
	if err != nil {
		s.opts.Logger.Warn("names of servers are looked up anew", "error", err)
	}
}

func (s *Server) toldName(name, what string) {
	s.opts.Logger.Info("name of servers", "name", name, "what", what)
	s.publish(api.Event{Kind: "name", Name: name, Reason: what})
}

// resolve is the configuration with the servers that its names lead to.
func (s *Server) resolve(ctx context.Context, cfg *config.Config) *config.Config {
	if ready := s.names.Set(cfg); !ready {
		ctx, cancel := context.WithTimeout(ctx, firstLook)
		defer cancel()
		s.names.Look(ctx)
	}
	if len(cfg.Queries()) == 0 {
		return cfg
	}
	return cfg.Resolved(s.names.Answers())
}

// renamed takes what names lead to now into force, as a reload with other servers
// does.
func (s *Server) renamed() {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.follow()
}

// follow does that for whoever holds reloading, unless the servers are those in force.
func (s *Server) follow() {
	now := s.current()
	cfg := now.Resolved(s.names.Answers())
	same := func(a, b config.Pool) bool { return slices.Equal(a.Servers, b.Servers) }
	if slices.EqualFunc(now.Pools, cfg.Pools, same) {
		return
	}
	var lines []string
	for _, err := range s.parts.Engine.Refuse(cfg) {
		lines = append(lines, err.Error())
	}
	if len(lines) > 0 {
		s.toldName("names", "where they lead now is not taken, the servers before stay: "+api.Brief(lines))
		return
	}
	_ = s.decider.ask(state.Loaded{Config: cfg}) // fails at a stop alone
}
