// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func (a *app) events() *cobra.Command {
	q := api.Query{}
	var output string
	c := a.withSocket(&cobra.Command{
		Use:   "events",
		Short: "Tell what changed: servers, services, the configuration, drift in the kernel",
		Args:  cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			show, err := a.eventPrinter(output)
			if err != nil {
				return err
			}
			err = a.client().Events(ctx, q, show)
			if errors.Is(err, context.Canceled) {
				return nil // by the operator
			}
			return remedy(err)
		}),
	})
	c.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with new events as they happen")
	c.Flags().IntVarP(&q.N, "lines", "n", 20, "show the last `count` events; -1: all that the daemon keeps")
	c.Flags().Uint64Var(&q.Since, "since", 0, "show only events after this `number`")
	c.Flags().StringVarP(&output, "output", "o", "text", "`format`: text or json, an object a line")
	return c
}

func (a *app) eventPrinter(output string) (func(api.Event) error, error) {
	switch output {
	case "json":
		lines := json.NewEncoder(a.Stdout)
		return func(e api.Event) error { return lines.Encode(e) }, nil
	case "text":
		return a.printEvent, nil
	}
	return nil, badOutput(output, "text", "json")
}

func (a *app) printEvent(e api.Event) error {
	_, err := fmt.Fprintln(a.Stdout, e.At.Local().Format(eventTime)+" "+e.Kind+" "+a.eventText(e))
	return err
}

const eventTime = "2006-01-02 15:04:05"

// eventText tells what an event is about and what it says. What was said anew of a
// service that stays as it is leads from nothing to nothing.
func (a *app) eventText(e api.Event) string {
	text := e.Name
	if e.To != "" {
		text += " " + e.From + " -> " + a.paint(e.To)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}
