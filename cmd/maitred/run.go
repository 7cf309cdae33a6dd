// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

func (a *app) run() *cobra.Command {
	var level, format string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Long: `Run the daemon in the foreground. SIGHUP reloads the configuration; SIGTERM and
SIGINT stop it and leave in the kernel what director.on_stop says.`,
		Args: cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			log, err := a.logger(level, format)
			if err != nil {
				return err
			}
			if _, err := a.loadConfig(a.configFile()); err != nil {
				return err // before any right is needed
			}
			set, err := effective()
			if err != nil {
				return err
			}
			if err := mayRun(set); err != nil {
				return err
			}
			return a.serve(ctx, log)
		}),
	}
	c.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringVar(&format, "log-format", "text", "text or json")
	return c
}

// serve is the daemon's life.
func (a *app) serve(ctx context.Context, log *slog.Logger) (err error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read WATCHDOG_USEC: %w", err)
	}
	env := kind.NewEnv(log)
	defer func() { err = errors.Join(err, env.Close()) }()
	kinds := kind.NewTable(env)
	return controlplane.New(controlplane.Options{
		File:    a.configFile(),
		Version: buildVersion(),
		Load:    func(path string) (*config.Config, error) { return config.LoadWith(kinds, path) },
		Wire:    controlplane.Wire,
		Pushes:  env.Pushes,
		Keep:    env.Keep,
		Modules: func() []api.Module { return told(env.Modules.Status()) },
		Logger:  log,
		Notify: func(state string) {
			if _, err := daemon.SdNotify(false, state); err != nil {
				log.Warn("the service manager does not listen", "error", err)
			}
		},
		Watchdog: watchdog,
		Hangups:  hangups,
	}).Run(ctx)
}

// logger writes to Stderr, where journald and containers expect it.
func (a *app) logger(level, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, &failure{code: exitUsage, err: fmt.Errorf("--log-level %s: the levels are debug, info, warn and error", level)}
	}
	options.Level = l
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.Stderr, options)), nil
	}
	return nil, &failure{code: exitUsage, err: fmt.Errorf("--log-format %s: the formats are text and json", format)}
}
