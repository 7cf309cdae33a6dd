// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// Reload reads the configuration again. One that has a mistake, or that asks
// for what only a restart can give, leaves the one in force as it is. For one that
// is taken it waits until the kernel agrees, or has failed to a few times.
func (s *Server) Reload(ctx context.Context) api.Reload {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.isReady() {
		s.notifyReloading()
		defer s.notifyReady()
	}
	result := api.Reload{At: time.Now().UTC()}
	cfg, err := s.opts.Load(s.opts.File)
	if err == nil {
		err = fixed(s.current(), cfg)
	}
	if err == nil {
		cfg = s.resolve(ctx, cfg)
		err = errors.Join(s.parts.Engine.Refuse(cfg)...)
	}
	if err == nil {
		cfg.Prepare() // here, where no decision waits for it
		err = s.decider.ask(state.Loaded{Config: cfg})
	}
	if err != nil {
		result.Errors = strings.Split(err.Error(), "\n") // as errors.Join and config.Errors put them
		s.names.Set(s.current())
		s.follow() // what was looked up for the other may be news for this one
		s.refused(result.Errors)
		s.noteReload(result)
		return result
	}
	result.OK = true
	s.noteReload(result)
	s.keepOverrides()
	if result.Kernel = s.disagreements(ctx); len(result.Kernel) > 0 {
		s.noteReload(result)
	}
	return result
}

func (s *Server) noteReload(r api.Reload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reload = &r
	if r.OK {
		s.loaded = r.At
	}
}

// How long a reload waits for the kernel: this many passes, with a pause between
// them for what the kernel only needs a moment for, and no longer than this.
const (
	reloadPasses = 3
	reloadPause  = 200 * time.Millisecond
	reloadWait   = 5 * time.Second
)

// disagreements makes passes over the kernel and tells what keeps it from
// agreeing; nothing if it does.
func (s *Server) disagreements(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, reloadWait)
	defer cancel()
	var err error
	for i := range reloadPasses {
		if i > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(reloadPause):
			}
		}
		if err = s.parts.Engine.Sync(ctx); err == nil {
			return nil
		}
	}
	if lines := api.Disagreements(s.parts.Engine.Targets()); len(lines) > 0 {
		return lines
	}
	return strings.Split(err.Error(), "\n")
}

// hangups reloads at each signal.
func (s *Server) hangups(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.opts.Hangups:
			s.Reload(ctx) // the outcome was logged
		}
	}
}

// fixed returns an error for each setting that is bound to the life of the
// process and differs.
func fixed(old, now *config.Config) error {
	var errs config.Errors
	for _, f := range []struct {
		path     string
		old, now any
	}{
		{"director.name", old.Director.Name, now.Director.Name},
		{"director.forwarding", old.Director.Forwarding, now.Director.Forwarding},
		{"director.state_dir", old.Director.StateDir, now.Director.StateDir},
		{"director.pin_path", old.Director.PinPath, now.Director.PinPath},
		{"director.resync_interval", old.Director.Resync, now.Director.Resync},
		{"director.connections.memory", config.Memory(old.Director.Connections.Memory), config.Memory(now.Director.Connections.Memory)},
		{"director.fullnat.addresses", fullNAT(old), fullNAT(now)},
		{"admin.socket", old.Admin.Socket, now.Admin.Socket},
	} {
		if f.old != f.now {
			errs = append(errs, now.Problem(f.path, "changed from %s to %v, which takes effect at a start only: restart the daemon, or put back the former",
				old.Shown(f.path, f.old), f.now))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// fullNAT tells whether there are to be tables for it.
func fullNAT(cfg *config.Config) string {
	if len(cfg.Director.FullNAT.Sources) == 0 {
		return "none"
	}
	return "some"
}

// current is the configuration in force.
func (s *Server) current() *config.Config { return s.decider.snapshot.Load().Config }

func (s *Server) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}
