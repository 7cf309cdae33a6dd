// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/checkers/kind"
	"github.com/maitred-lb/maitred/controlplane/config"
)

func (a *app) validate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Tell every mistake of a configuration",
		Args:  cobra.MaximumNArgs(1),
		RunE: does(func(_ context.Context, args []string) error {
			file := a.configFile()
			if len(args) == 1 {
				file = args[0]
			}
			cfg, err := a.loadConfig(file)
			if err != nil {
				return err
			}
			for _, note := range cfg.Notes() {
				complain(a.Env, "note: %v\n", note)
			}
			_, err = fmt.Fprintf(a.Stdout, "%s is good: %s\n", file, summary(cfg))
			return err
		}),
	}
}

// loadConfig reads a configuration and tells all its mistakes, a line each.
func (a *app) loadConfig(file string) (*config.Config, error) {
	return a.loadConfigWith(kind.NewTable(kind.Env{}), file)
}

// loadConfigWith does the same with checks that are to run.
func (a *app) loadConfigWith(kinds kind.Table, file string) (*config.Config, error) {
	if file == defaultConfig {
		if err := a.missing(); err != nil {
			return nil, err
		}
	}
	cfg, err := config.LoadWith(kinds, file)
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		complain(a.Env, "%v\n", mistakes)
		return nil, errTold
	}
	return cfg, err
}

func summary(cfg *config.Config) string {
	servers := 0
	for _, p := range cfg.Pools {
		servers += len(p.Servers)
	}
	return strings.Join([]string{
		count(len(cfg.Services), "service"), count(len(cfg.Pools), "pool"), count(servers, "server"),
		count(len(cfg.Checks), "check"), "pages " + strings.Join(pageNames(cfg), ", "),
	}, ", ")
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
