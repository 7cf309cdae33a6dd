// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/config"
)

func (a *app) config() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Print what may be in a configuration: for editors, or for people",
	}
	c.AddCommand(
		&cobra.Command{
			Use:   "schema",
			Short: "Print a JSON Schema, by which editors complete and explain keys",
			Args:  cobra.NoArgs,
			RunE: does(func(context.Context, []string) error {
				text, err := config.Schema()
				if err != nil {
					return err
				}
				_, err = a.Stdout.Write(text)
				return err
			}),
		},
		&cobra.Command{
			Use:   "reference",
			Short: "Print a configuration that has every key, each with a comment",
			Long: `Print a configuration that has every key, each with a comment. Of the kinds of checks
it has those of tcp and of the web: docs/checks.md has all, and maitred config schema
knows their options. Alone in a file it is not good: the files that it names must be there.`,
			Args: cobra.NoArgs,
			RunE: does(func(context.Context, []string) error {
				_, err := io.WriteString(a.Stdout, config.Reference())
				return err
			}),
		},
	)
	return c
}
