// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

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
	told                   bool // that the configuration does not tell the socket
}

func newRoot(env Env) *cobra.Command {
	a := &app{Env: env}
	root := &cobra.Command{
		Use:   "maitred",
		Short: "Direct traffic to real servers that live, and say sorry in the kernel when none does",
		Long: `maitred checks real servers, steers the traffic of virtual services to those
that live, and answers with a sorry page from the kernel when a service has none.

Exit codes: 0 done, 1 failed, 2 usage, which a name is that there is not, 3 the state
that was waited for did not come.`,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.PersistentFlags().StringVar(&a.configFlag, "config", "",
		"configuration `file` (MAITRED_CONFIG; "+defaultConfig+")")
	root.AddCommand(
		a.run(), a.validate(), a.config(), a.reload(), a.status(), a.explain(), a.check(), a.connections(), a.events(), a.sorry(),
		a.server(), a.page(), a.doctor(), a.demo(), a.demoServer(), a.sorryServer(), a.module(), a.version(),
	)
	root.InitDefaultCompletionCmd()
	strictGroups(root)
	strictArguments(root)
	_ = a.complete(root) // fails for flags that there are not: a test sees to them
	return root
}

// does makes the RunE of a command: its errors are failures, not usage.
func does(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c.Context(), args)
		var failed *failure
		var refused *net.OpError
		switch {
		case err == nil, errors.As(err, &failed):
			return err
		case errors.Is(err, fs.ErrPermission) && errors.As(err, &refused) && refused.Op == "dial":
			err = fmt.Errorf("permission denied on %v: only the daemon's user and group may speak to it", refused.Addr)
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

// missing returns an error where no configuration is named and there is none at
// the usual place.
func (a *app) missing() error {
	if cmp.Or(a.configFlag, a.Getenv("MAITRED_CONFIG")) != "" {
		return nil
	}
	if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: name a configuration with --config or MAITRED_CONFIG", defaultConfig)
	}
	return nil
}

// client speaks to the daemon. A configuration may have mistakes elsewhere: the
// daemon runs on the one before.
func (a *app) client() *api.Client {
	socket := cmp.Or(a.socketFlag, a.Getenv("MAITRED_SOCKET"))
	if socket == "" {
		var err error
		if socket, err = config.Socket(a.configFile()); err != nil && !a.told && a.missing() == nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			complain(a.Env, "maitred: %s: so the default socket is tried: name the socket with --socket\n", first)
			a.told = true
		}
	}
	return api.NewClient(cmp.Or(socket, defaultSocket))
}
