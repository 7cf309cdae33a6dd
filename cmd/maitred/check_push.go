// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func (a *app) checkPush() *cobra.Command {
	var push api.Push
	var ttl time.Duration
	c := a.withSocket(&cobra.Command{
		Use:   "push CHECK --server SERVER pass|degraded|fail",
		Short: "Tell the daemon how a server is, for a check of type push",
		Long: `Tell the daemon how a server is, for a check of type push. It holds for a while, and
has to be told again before that is over: silence means that the server is down.
SERVER is one of a pool with the check: POOL/NAME, NAME or its address.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("name one check, and say pass, degraded or fail")
			}
			if push.Server == "" {
				return errors.New("name the server with --server: POOL/NAME, NAME or its address")
			}
			if err := push.Outcome.UnmarshalText([]byte(args[1])); err != nil || args[1] == "unknown" {
				return fmt.Errorf("%q says nothing of a server: pass, degraded and fail do", args[1])
			}
			return nil
		},
		RunE: does(func(ctx context.Context, args []string) error {
			push.Check, push.Seconds = args[0], ttl.Seconds()
			pushed, err := a.client().Push(ctx, push)
			if err != nil {
				return usage(remedy(err))
			}
			for _, p := range pushed.Probes {
				if err := writeText(a.Stdout, fmt.Sprintf("%s on %s: %s is told\n", p.Check, p.Target, push.Outcome)); err != nil {
					return err
				}
			}
			return nil
		}),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return a.checkNames(), cobra.ShellCompDirectiveNoFileComp
			case 1:
				return []string{"pass", "degraded", "fail"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	})
	c.Flags().StringVar(&push.Server, "server", "", "`SERVER` that is told of: POOL/NAME, NAME or an address")
	c.Flags().DurationVar(&ttl, "ttl", 0, "how `long` it holds; default: as the check says")
	c.Flags().IntVar(&push.Percent, "weight", 0, "`percent` of its weight that the server should have")
	c.Flags().StringVar(&push.Message, "message", "", "`why`, for people")
	_ = c.RegisterFlagCompletionFunc("server", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.checkedServers(args), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}
