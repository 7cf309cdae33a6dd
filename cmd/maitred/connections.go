// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// connectionFlags are what the operator asked for.
type connectionFlags struct {
	service, server, client, state, proto, output string
	limit                                         int
	count                                         bool
}

func (a *app) connections() *cobra.Command {
	var f connectionFlags
	c := a.withSocket(&cobra.Command{
		Use:     "connections",
		Aliases: []string{"conns"},
		Short:   "List the connections that are forwarded, or count them",
		Long: `List the connections that the forwarding engine knows of, in no order. Filters
narrow the list; they are applied by the daemon, so that it may be asked while
there are millions.

States of the eBPF engine: new (one packet was seen), open, fin (an end has said
that it sends no more), reset, udp. IPVS has its own: established, fin_wait ...`,
		RunE: does(func(ctx context.Context, _ []string) error {
			filter, err := f.filter()
			if err != nil {
				return usage(err)
			}
			if f.count {
				return usage(remedy(a.countConnections(ctx, filter, f.output)))
			}
			return usage(remedy(a.listConnections(ctx, filter, f.output)))
		}),
	})
	c.Flags().StringVar(&f.service, "service", "", "only those of this service, by `name`")
	c.Flags().StringVar(&f.server, "server", "", "only those of this `server`, by pool/name or address")
	c.Flags().StringVar(&f.client, "client", "", "only those of clients in this `prefix`, or of this address")
	c.Flags().StringVar(&f.state, "state", "", "only those in this `state`")
	c.Flags().StringVar(&f.proto, "proto", "", "only tcp or udp")
	c.Flags().IntVarP(&f.limit, "limit", "n", 100, "show `count` at most; 0: all")
	c.Flags().BoolVar(&f.count, "count", false, "count them by service and server instead")
	c.Flags().StringVarP(&f.output, "output", "o", "table", "`format`: table, or json, an object a line (with --count one list)")
	return c
}

// filter reads what the daemon would refuse anyhow.
func (f connectionFlags) filter() (out api.Filter, err error) {
	if f.output != "table" && f.output != "json" {
		return out, badOutput(f.output, "table", "json")
	}
	if f.limit < 0 {
		return out, &api.FilterError{Text: fmt.Sprintf("--limit %d: it takes a count of connections, 0 for all", f.limit)}
	}
	out = api.Filter{Service: f.service, Server: f.server, State: f.state, Limit: f.limit}
	if out.Proto, err = api.ParseProto(f.proto); err != nil {
		return out, err
	}
	out.Client, err = api.ParseClient(f.client)
	return out, err
}

// usage makes an error of a filter one of usage.
func usage(err error) error {
	var bad *api.FilterError
	if errors.As(err, &bad) {
		return &failure{code: exitUsage, err: err}
	}
	return err
}

// tableRows is how many rows are laid out together: all would not fit in memory.
const tableRows = 1000

func (a *app) listConnections(ctx context.Context, f api.Filter, output string) error {
	limit, shown := f.Limit, 0
	if limit > 0 {
		f.Limit++ // one more tells that there are more
	}
	lines, rows := json.NewEncoder(a.Stdout), a.connectionTable()
	err := a.client().Connections(ctx, f, func(c api.Connection) error {
		if shown++; limit > 0 && shown > limit {
			return nil
		}
		if output == "json" {
			return lines.Encode(c)
		}
		rows.row(connectionRow(c)...)
		if shown%tableRows != 0 {
			return nil
		}
		return writeText(a.Stdout, rows.drain())
	})
	if err := errors.Join(writeText(a.Stdout, rows.drain()), err); err != nil {
		return err
	}
	switch {
	case shown == 0 && output == "table":
		complain(a.Env, "no connections\n")
	case limit > 0 && shown > limit:
		complain(a.Env, "note: there are more than %d: -n 0 shows all, --count counts them\n", limit)
	}
	return nil
}

func (a *app) connectionTable() *table {
	return a.table("PROTO", "CLIENT", "SERVICE", "ADDRESS", "SERVER", "TO", "STATE", "IDLE", "LEFT", "SOURCE")
}

func connectionRow(c api.Connection) []string {
	idle := "-"
	if c.Idle != nil {
		idle = wholeSeconds(*c.Idle)
	}
	return []string{
		c.Protocol, c.Client, dash(c.Service), c.Virtual, dash(c.Server), dash(c.Address), c.State, idle,
		wholeSeconds(c.Left), c.Source,
	}
}

// wholeSeconds is how exact the kernel's tables are.
func wholeSeconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Truncate(time.Second).String()
}

// dash stands for a name that there is not.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func writeText(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

func (a *app) countConnections(ctx context.Context, f api.Filter, output string) error {
	f.Limit = 0
	sums, err := a.client().ConnectionTotals(ctx, f)
	if err != nil {
		return err
	}
	if output == "json" {
		return printJSON(a.Stdout, sums)
	}
	all := 0
	t := a.table("SERVICE", "SERVER", "TO", "CONNECTIONS", "STATES")
	for _, s := range sums {
		t.row(dash(s.Service), dash(s.Server), dash(s.Address), strconv.Itoa(s.Connections), statesText(s.States))
		all += s.Connections
	}
	return writeText(a.Stdout, t.String()+count(all, "connection")+"\n")
}

// statesText counts by state, in the order of the alphabet.
func statesText(states map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(states)) {
		out = append(out, fmt.Sprintf("%d %s", states[name], name))
	}
	return strings.Join(out, ", ")
}
