// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// complete tells shells the values of flags and arguments.
func (a *app) complete(root *cobra.Command) error {
	for _, flag := range []struct {
		command, name string
		values        []string
	}{
		{"status", "output", []string{"table", "wide", "json"}},
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
	for _, c := range root.Commands() {
		if c.Use == c.Name() && c.ValidArgsFunction == nil {
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
	return nil
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
