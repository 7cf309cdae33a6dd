// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// complete tells shells the values of flags and arguments.
func (a *app) complete(root *cobra.Command) error {
	for _, flag := range []struct {
		command, name string
		values        []string
	}{
		{"status", "output", []string{"table", "wide", "json"}},
		{"explain", "output", []string{"text", "json"}},
		{"connections", "output", []string{"table", "json"}},
		{"connections", "proto", []string{"tcp", "udp"}},
		{"events", "output", []string{"text", "json"}},
		{"doctor", "output", []string{"table", "json"}},
		{"run", "log-level", []string{"debug", "info", "warn", "error"}},
		{"run", "log-format", []string{"text", "json"}},
	} {
		c, _, err := root.Find([]string{flag.command})
		if err != nil {
			return err
		}
		values := cobra.FixedCompletions(flag.values, cobra.ShellCompDirectiveNoFileComp)
		if err := c.RegisterFlagCompletionFunc(flag.name, values); err != nil {
			return err
		}
	}
	for flag, names := range map[string]func(context.Context) []string{
		"service": a.serviceNames, "server": a.serverNames,
	} {
		c, _, err := root.Find([]string{"connections"})
		if err != nil {
			return err
		}
		if err := c.RegisterFlagCompletionFunc(flag, completeNames(names)); err != nil {
			return err
		}
	}
	for _, c := range root.Commands() {
		if c.Use == c.Name() && c.ValidArgsFunction == nil {
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
	return nil
}

// completeNames offers what names finds.
func completeNames(names func(context.Context) []string) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names(c.Context()), cobra.ShellCompDirectiveNoFileComp
	}
}

// serviceNames and those that follow ask the running daemon; without one there is
// nothing to offer.
func (a *app) serviceNames(ctx context.Context) []string {
	var names []string
	for _, s := range a.statusToComplete(ctx).Services {
		names = append(names, s.Name)
	}
	return names
}

func (a *app) serverNames(ctx context.Context) []string {
	var names []string
	for _, s := range a.statusToComplete(ctx).Servers {
		names = append(names, s.Pool+"/"+s.Name)
	}
	return names
}

// completeTime is how long a shell may wait for names.
const completeTime = 2 * time.Second

func (a *app) statusToComplete(ctx context.Context) api.Status {
	a.told = true // complaints would end up among the names
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	st, err := a.client().Status(ctx)
	if err != nil {
		return api.Status{}
	}
	return st
}

// completePage offers the pages of the configuration.
func (a *app) completePage(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := config.Load(a.configFile())
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return pageNames(cfg), cobra.ShellCompDirectiveNoFileComp
}

// completeInterface offers the interfaces of this machine.
func completeInterface(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	links, err := net.Interfaces()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, l := range links {
		names = append(names, l.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
