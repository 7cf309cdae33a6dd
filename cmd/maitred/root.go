// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

const (
	defaultConfig = "/etc/maitred/maitred.yaml"
	defaultSocket = "/run/maitred/maitred.sock"
)

// app is what all commands share.
type app struct {
	Env
	configFlag, socketFlag string
}

func newRoot(env Env) *cobra.Command {
	a := &app{Env: env}
	root := &cobra.Command{
		Use:   "maitred",
		Short: "Direct traffic to real servers that live, and say sorry in the kernel when none does",
		Long: `maitred checks real servers, steers the traffic of virtual services to those
that live, and answers with a sorry page from the kernel when a service has none.

Exit codes: 0 done, 1 failed, 2 usage, 3 the state that was waited for did not come.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.PersistentFlags().StringVar(&a.configFlag, "config", "",
		"configuration `file` (MAITRED_CONFIG; "+defaultConfig+")")
	root.AddCommand(
		a.run(), a.validate(), a.reload(), a.status(), a.events(), a.page(),
		a.doctor(), a.demo(), a.demoServer(), a.version(),
	)
	root.InitDefaultCompletionCmd()
	strictGroups(root)
	return root
}

// strictGroups makes the commands that only hold others, and help, refuse names
// that they do not know: cobra would print its help and succeed.
func strictGroups(root *cobra.Command) {
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(c, rest[0])
			}
			return c.Help()
		},
	})
	for _, c := range root.Commands() {
		if c.HasSubCommands() && !c.Runnable() {
			c.Args = cobra.ArbitraryArgs
			c.RunE = func(c *cobra.Command, args []string) error {
				if len(args) > 0 {
					return unknownCommand(c, args[0])
				}
				return c.Help()
			}
		}
	}
}

func unknownCommand(c *cobra.Command, name string) error {
	return fmt.Errorf("unknown command %q for %q", name, c.CommandPath())
}

// does makes the RunE of a command: its errors are failures, not usage.
func does(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c.Context(), args)
		var failed *failure
		switch {
		case err == nil, errors.As(err, &failed):
			return err
		case c.Context().Err() != nil && errors.Is(err, context.Canceled):
			err = errors.New("interrupted")
		}
		return &failure{code: exitFailed, err: err}
	}
}

// configFile is the file that flag, environment or custom names.
func (a *app) configFile() string {
	return cmp.Or(a.configFlag, a.Getenv("MAITRED_CONFIG"), defaultConfig)
}

// withSocket adds the flag of commands that speak to a daemon.
func (a *app) withSocket(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&a.socketFlag, "socket", "",
		"`path` of the daemon's socket (MAITRED_SOCKET; admin.socket of the configuration; "+defaultSocket+")")
	return c
}

// client speaks to the daemon. A configuration that cannot be read is not
// asked for its socket: the daemon runs on the one before.
func (a *app) client() *api.Client {
	socket := cmp.Or(a.socketFlag, a.Getenv("MAITRED_SOCKET"))
	if socket == "" {
		if cfg, err := config.Load(a.configFile()); err == nil {
			socket = cfg.Admin.Socket
		}
	}
	return api.NewClient(cmp.Or(socket, defaultSocket))
}
