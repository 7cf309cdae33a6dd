// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func (a *app) reload() *cobra.Command {
	return a.withSocket(&cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its configuration again",
		Long: `Make the daemon read its configuration again. A configuration with a mistake is
refused as a whole, and the one in force stays: exit code 1. Checks that did not
change go on undisturbed.

One that is taken is in force once the kernel agrees. If the kernel does not, for
instance because an interface is not there, the daemon goes on trying: exit code 3.

The daemon reads the file that it was started with. --config names another to find
its socket by (admin.socket), where neither --socket nor MAITRED_SOCKET names that.`,
		Args: cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			result, err := a.client().Reload(ctx)
			if err != nil {
				return remedy(err)
			}
			if lines := result.Kernel; result.OK && len(lines) > 0 {
				return &failure{code: exitNotSeen, err: fmt.Errorf(
					"the configuration was accepted, but the kernel does not agree yet: %s: see maitred status", strings.Join(lines, "; "))}
			}
			if result.OK {
				_, err := fmt.Fprintln(a.Stdout, "the configuration is in force")
				return err
			}
			for _, line := range result.Errors {
				complain(a.Env, "%s\n", line)
			}
			return errors.New("the configuration was refused, the one before stays in force: correct it and reload again")
		}),
	})
}

// remedy adds what to do next to an error of the client.
func remedy(err error) error {
	switch {
	case errors.Is(err, api.ErrNotRunning):
		return fmt.Errorf("%w: start it with maitred run, or name its socket with --socket", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: only the daemon's user and group may speak to it", err)
	}
	return err
}
