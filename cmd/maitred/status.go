// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
)

func (a *app) status() *cobra.Command {
	var output string
	var wait time.Duration
	c := a.withSocket(&cobra.Command{
		Use:   "status",
		Short: "Tell how services, servers and the kernel stand",
		Args:  cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			if output != "table" && output != "wide" && output != "json" {
				return badOutput(output, "table", "wide", "json")
			}
			st, err := a.readyStatus(ctx, wait)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(a.Stdout, st)
			}
			_, err = io.WriteString(a.Stdout, a.statusText(st, output == "wide"))
			return err
		}),
	})
	c.Flags().StringVarP(&output, "output", "o", "table", "`format`: table, wide (with checks, addresses and counters) or json")
	c.Flags().DurationVar(&wait, "wait", 0, "wait for this `duration` at most until every service is decided and the kernel agrees; exit code 3 if not")
	return c
}

// statusPeriod is the time between two looks at a daemon that is waited for.
const statusPeriod = 100 * time.Millisecond

// readyStatus asks for the status, and waits at most the given time until the
// daemon is there and ready and the kernel agrees; zero takes it as it is.
func (a *app) readyStatus(ctx context.Context, wait time.Duration) (api.Status, error) {
	client := a.client()
	if wait == 0 {
		st, err := client.Status(ctx)
		return st, remedy(err)
	}
	limit, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ticker := time.NewTicker(statusPeriod)
	defer ticker.Stop()
	goal, missing := "ready", errors.New("the daemon did not answer")
	for {
		st, err := client.Status(limit)
		switch {
		case err == nil && st.Ready && st.InSync:
			return st, nil
		case err == nil:
			goal, missing = unreached(st)
		case limit.Err() == nil:
			missing = remedy(err)
		}
		select {
		case <-ticker.C:
		case <-limit.Done():
			if ctx.Err() != nil {
				return st, ctx.Err()
			}
			return st, &failure{code: exitNotSeen, err: fmt.Errorf("not %s after %v: %w", goal, wait, missing)}
		}
	}
}

// unreached says what a daemon has yet to become, and what is missing.
func unreached(st api.Status) (goal string, missing error) {
	if st.Ready {
		return "in sync", fmt.Errorf("the kernel does not agree: %s: see maitred status", api.Brief(api.Disagreements(st.Targets)))
	}
	var names []string
	for _, s := range st.Services {
		if s.Mode == "pending" {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return "ready", errors.New("the kernel has not been told yet: see maitred status")
	}
	return "ready", fmt.Errorf("not yet decided: %s: see maitred events", strings.Join(names, ", "))
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
