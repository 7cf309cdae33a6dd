// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/config"
)

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
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	return fmt.Errorf("unknown command %q for %q%s", name, c.CommandPath(), config.DidYouMean(name, names))
}

// strictArguments makes the commands that show none in their usage say so:
// cobra would speak of an unknown command.
func strictArguments(root *cobra.Command) {
	for _, c := range root.Commands() {
		if !c.HasSubCommands() && c.Use == c.Name() {
			c.Args = func(c *cobra.Command, args []string) error {
				if len(args) > 0 {
					return fmt.Errorf("%s takes no argument, such as %q", c.CommandPath(), args[0])
				}
				return nil
			}
		}
	}
}

// usageText is the text of an error about usage, in one line.
func usageText(err error) string {
	what, names, ok := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	if !ok {
		return what
	}
	return fmt.Sprintf("%s (did you mean %s?)", what, strings.Join(strings.Fields(names), " or "))
}

// badValue finds the flag in pflag's message for a value that it cannot read.
var badValue = regexp.MustCompile(`^invalid argument "(?s:.*)" for "(?:-., )?--([a-z-]+)" flag: `)

// flagError says what a flag takes, where pflag tells what a function of Go
// found.
func flagError(c *cobra.Command, err error) error {
	value, ok := errors.AsType[interface {
		error
		GetValue() string
	}](err)
	found := badValue.FindStringSubmatch(err.Error())
	if !ok || found == nil {
		return err
	}
	flag := c.Flags().Lookup(found[1])
	if flag == nil {
		return err
	}
	takes := map[string]string{
		"duration": "a duration, such as 500ms, 5s or 2m",
		"int":      "a whole number",
		"uint64":   "a whole number, 0 or above",
		"bool":     "true or false",
	}[flag.Value.Type()]
	if takes == "" {
		return err
	}
	return fmt.Errorf("--%s takes %s, not %q", flag.Name, takes, value.GetValue())
}
