// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/resolver"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// Server is the daemon.
type Server struct {
	opts    Options
	started time.Time
	events  *api.Events
	decider *decider
	parts   Parts
	ready   chan struct{} // closed once every service is decided and the kernel told

	names  *resolver.Keeper
	meter  *meter     // nil where nothing is forwarded
	saying sync.Mutex // one word of operators at a time; guards what follows once the daemon has started

	overrides       *overrides[string, state.Override]
	serverOverrides *overrides[state.ServerID, state.ServerOverride]

	reloading sync.Mutex  // one reload at a time
	mu        sync.Mutex  // guards what follows
	loaded    time.Time   // when the configuration in force was
	reload    *api.Reload // how the last one ended
}

// Options are what a server needs from outside.
type Options struct {
	File    string // of the configuration
	Version string
	Load    func(path string) (*config.Config, error)
	// Wire makes the parts. It is called once, with the lock held: a second
	// daemon never gets as far as the kernel.
	Wire    func(cfg *config.Config, in Inputs) (Parts, error)
	Pushes  *kind.Pushes        // takes what is pushed to checks; nil: nothing is taken
	Modules func() []api.Module // to tell of; nil: there are none
	// Keep forgets what no probe of the configuration needs; nil: nothing is kept.
	Keep     func([]checkers.Probe)
	Logger   *slog.Logger
	Notify   Notify
	Watchdog time.Duration    // period of the service manager's watchdog; zero: none
	Hangups  <-chan os.Signal // each asks for a reload
}

// Inputs are what parts report to.
type Inputs struct {
	Probed   func(checkers.Transition)
	Repaired func(target, what string) // drift in the kernel was put right
	// Troubled hears what keeps a target from agreeing, one error a line, and what
	// did before; empty: nothing.
	Troubled func(target, before, now string)
	Logger   *slog.Logger
}

const withdrawTimeout = 10 * time.Second // to take everything back at a stop

// New makes a server. Nothing happens before Run.
func New(opts Options) *Server {
	events := api.NewEvents()
	return &Server{
		opts: opts, started: time.Now(), events: events,
		decider: newDecider(events, opts.Logger), ready: make(chan struct{}),
	}
}

// Run is the daemon's life. It returns nil after a clean stop, which the end of
// ctx asks for.
func (s *Server) Run(ctx context.Context) (err error) {
	cfg, err := s.opts.Load(s.opts.File)
	if err != nil {
		return err
	}
	lock, err := Acquire(cfg.Admin.Socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	s.openNames(cfg)
	cfg = s.resolve(ctx, cfg)
	s.parts, err = s.opts.Wire(cfg, Inputs{
		Probed: s.decider.probed, Repaired: s.repaired, Troubled: s.troubled, Logger: s.opts.Logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.parts.Close()) }()
	if s.parts.Traffic != nil {
		s.meter = newMeter(s.parts, s.decider, s.opts.Logger)
	}
	cfg.Prepare()
	s.adopt(ctx, cfg)
	s.tellForwarding(cfg)
	return s.serve(ctx, cfg)
}

// adopt takes over what the kernel holds. Services are pending: their rows are
// left as they are, until checks say otherwise. Rows that can't be read are no
// reason to leave clients without a director.
func (s *Server) adopt(ctx context.Context, cfg *config.Config) {
	held, err := s.parts.Datapath.Held()
	if err != nil {
		s.opts.Logger.Error("what the kernel holds is not known, services begin anew", "error", err)
	}
	s.decider.setProbes, s.decider.update = s.setProbes, s.parts.Engine.Update
	events := append([]state.Event{state.Loaded{Config: cfg, Held: held}}, s.recall(cfg)...)
	s.decider.applyAll([]letter{{events: events}})
	s.keepOverrides()
	s.loaded = time.Now().UTC()
	if err := s.parts.Engine.Sync(ctx); err != nil {
		s.opts.Logger.Error("first pass over the kernel failed, it will be tried again", "error", err)
	}
	s.decider.settle = s.pave
}

// paveWait is how long decisions wait for the ways of checks at most.
const paveWait = time.Second

// pave has the ways of checks via the data path in the kernel before they are
// taken: a new check without its own would be answered by any server. Passes that
// fail are tried again, and are no reason not to check.
func (s *Server) pave(cfg *config.Config) {
	if len(cfg.Errands()) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), paveWait)
	defer cancel()
	_ = s.parts.Engine.Sync(ctx) // the engine tells of it
}

// serve starts the tasks, waits for the end of one of them or of ctx, and stops
// them again in order. Whoever asks for a stop gets the withdrawal with it,
// whatever else fails; after a failure that nobody asked for the kernel carries on.
func (s *Server) serve(ctx context.Context, cfg *config.Config) error {
	endpoint, err := api.Listen(cfg.Admin.Socket, s, s.events, s.opts.Logger)
	if err != nil {
		return err
	}
	tasks := newRunner(context.WithoutCancel(ctx))
	for _, t := range s.tasks(endpoint) {
		tasks.start(t)
	}
	s.opts.Logger.Info("started", "version", s.opts.Version, "config", s.opts.File, "socket", cfg.Admin.Socket)
	select {
	case <-ctx.Done():
	case <-tasks.failed.Done():
	}
	s.notifyStopping()
	asked := ctx.Err() != nil
	err = tasks.stop()
	if asked && s.current().Director.OnStop == config.OnStopWithdraw {
		return errors.Join(err, s.withdraw(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return err
	}
	s.opts.Logger.Info("stopped, the kernel carries on")
	return nil
}

// tasks lists the parts in the order in which they start: each hands its work
// to those before it.
func (s *Server) tasks(endpoint Task) []Task {
	tasks := append([]Task{s.parts.Engine}, s.parts.Tasks...)
	tasks = append(tasks,
		s.decider,
		s.parts.Prober,
		task{"links", func(ctx context.Context) error { return s.parts.Links(ctx, s.parts.Engine.Resync) }},
		locksmith{s.parts.Datapath, s.current, s.opts.Logger},
		heart{s.parts.Datapath, s.current, s.decider.alive, s.opts.Logger},
		attachmentWatch{s.parts.Datapath.Attachments, s.parts.Engine.Resync},
		s.names,
		task{"ready", s.announce},
		task{"hangups", s.hangups},
	)
	if s.meter != nil {
		tasks = append(tasks, s.meter)
	}
	if s.opts.Watchdog > 0 {
		tasks = append(tasks, s.watchdog())
	}
	return append(tasks, endpoint)
}

// announce says that the daemon is ready once every service is decided and the
// kernel has been told. What the kernel did not take is tried again, and no
// reason to keep others waiting.
func (s *Server) announce(ctx context.Context) error {
	select {
	case <-s.decider.decided:
	case <-ctx.Done():
		return nil
	}
	err := s.parts.Engine.Sync(ctx)
	close(s.ready)
	s.notifyReady()
	if err != nil {
		s.opts.Logger.Warn("ready, but the kernel does not agree: it will be tried again", "error", err)
	} else {
		s.opts.Logger.Info("ready, every service is decided and the kernel agrees")
	}
	<-ctx.Done()
	return nil
}

// withdraw takes all that is ours out of the kernel.
func (s *Server) withdraw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, withdrawTimeout)
	defer cancel()
	if err := s.parts.Engine.Withdraw(ctx); err != nil {
		return fmt.Errorf("withdraw from the kernel: %w", err)
	}
	if err := s.parts.Withdraw(); err != nil {
		return fmt.Errorf("withdraw the sorry engine: %w", err)
	}
	s.opts.Logger.Info("stopped, nothing of ours is left in the kernel")
	return nil
}
