// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// explanation is all that bears one name.
type explanation struct {
	Services []explainedService `json:"services,omitempty"`
	Servers  []explainedServer  `json:"servers,omitempty"`
	Checks   []explainedCheck   `json:"checks,omitempty"`
}

type explainedService struct {
	api.Service
	WhyEngine string            `json:"why_engine,omitempty"`
	Places    []api.Attachment  `json:"attachments"`
	Notices   []string          `json:"notices,omitempty"` // of the whole director
	Ring      *api.Ring         `json:"ring,omitempty"`
	Members   []explainedServer `json:"members"` // the servers that can serve it
	Events    []api.Event       `json:"events"`
}

type explainedServer struct {
	api.Server
	Results  []api.Probe `json:"results"`
	Services []string    `json:"services"` // that use it
	Events   []api.Event `json:"events"`
}

type explainedCheck struct {
	Name    string      `json:"name"`
	Results []api.Probe `json:"results"`
	Servers []string    `json:"servers"` // that must pass it
	Events  []api.Event `json:"events"`
}

// lastEvents is how many are told of each thing.
const lastEvents = 8

func (a *app) explain() *cobra.Command {
	var output string
	c := a.withSocket(&cobra.Command{
		Use:   "explain NAME",
		Short: "Tell why a service, a server or a check is as it is",
		Long: `Tell why something is as it is. NAME is a service, a server as POOL/NAME, or a check.
Of a service: its mode and the arithmetic of its quorum, each server with the last
results of its checks, how long it takes to notice a death and why, which engine
forwards it, where and why there, and what changed last.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return fmt.Errorf("%s takes one name: a service, a server as POOL/NAME, or a check", c.CommandPath())
		},
		RunE: does(func(ctx context.Context, args []string) error {
			if output != "text" && output != "json" {
				return badOutput(output, "text", "json")
			}
			e, err := a.explanation(ctx, args[0])
			if err != nil {
				return remedy(err)
			}
			if output == "json" {
				return printJSON(a.Stdout, e)
			}
			return writeText(a.Stdout, a.explainText(e))
		}),
	})
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return explainable(a.statusToComplete(c.Context())), cobra.ShellCompDirectiveNoFileComp
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "`format`: text or json")
	return c
}

// explanation asks the daemon for what it knows of a name.
func (a *app) explanation(ctx context.Context, name string) (explanation, error) {
	client := a.client()
	st, err := client.Status(ctx)
	if err != nil {
		return explanation{}, err
	}
	var events []api.Event
	err = client.Events(ctx, api.Query{N: -1}, func(e api.Event) error { events = append(events, e); return nil })
	if err != nil {
		return explanation{}, err
	}
	e := explainStatus(st, events, name)
	if len(e.Services)+len(e.Servers)+len(e.Checks) == 0 {
		names := explainable(st)
		return e, misused(fmt.Errorf("nothing is called %q%s: there are %s", name, config.DidYouMean(name, names), strings.Join(names, ", ")))
	}
	for i := range e.Services {
		if s := e.Services[i]; s.Engine != string(config.ForwardingEBPF) || s.Mode == "pending" {
			continue // as yet the kernel has whatever ring it had
		}
		ring, err := client.Ring(ctx, e.Services[i].Name)
		if err != nil {
			return e, err
		}
		e.Services[i].Ring = &ring
	}
	return e, nil
}

// explainable lists what can be explained.
func explainable(st api.Status) []string {
	var names []string
	for _, s := range st.Services {
		names = append(names, s.Name)
	}
	for _, s := range st.Servers {
		names = append(names, s.Pool+"/"+s.Name)
	}
	var checks []string
	for _, p := range st.Probes {
		checks = append(checks, p.Check)
	}
	slices.Sort(checks)
	return append(names, slices.Compact(checks)...)
}

// explainStatus finds all of a status that bears the name. A service with
// addresses of two families is found by the name that the file gives it.
func explainStatus(st api.Status, events []api.Event, name string) explanation {
	var e explanation
	for _, s := range st.Services {
		if given, _, _ := strings.Cut(s.Name, "/"); s.Name == name || given == name {
			e.Services = append(e.Services, explainService(st, events, s))
		}
	}
	for _, s := range st.Servers {
		if s.Pool+"/"+s.Name == name {
			e.Servers = append(e.Servers, explainServer(st, events, s))
		}
	}
	check := explainedCheck{Name: name}
	for _, p := range st.Probes {
		if p.Check == name {
			check.Results = append(check.Results, p)
		}
	}
	if len(check.Results) > 0 {
		check.Servers = passing(st, name)
		check.Events = eventsOf(events, check.Servers...)
		e.Checks = append(e.Checks, check)
	}
	return e
}

func explainService(st api.Status, events []api.Event, s api.Service) explainedService {
	out := explainedService{Service: s, WhyEngine: st.ForwardingNote, Places: st.Attachments, Notices: st.Notices}
	names := []string{s.Name}
	for _, server := range st.Servers {
		if server.Pool == s.Pool && slices.Contains(s.Servers, server.Name) {
			out.Members = append(out.Members, explainServer(st, nil, server))
			names = append(names, server.Pool+"/"+server.Name)
		}
	}
	out.Events = eventsOf(events, names...)
	return out
}

func explainServer(st api.Status, events []api.Event, s api.Server) explainedServer {
	out := explainedServer{Server: s, Events: eventsOf(events, s.Pool+"/"+s.Name)}
	for _, p := range st.Probes {
		if slices.Contains(s.Probes, api.ProbeKey{Check: p.Check, Target: p.Target}) {
			out.Results = append(out.Results, p)
		}
	}
	for _, service := range st.Services {
		if service.Pool == s.Pool && slices.Contains(service.Servers, s.Name) {
			out.Services = append(out.Services, service.Name)
		}
		if service.Backup == s.Pool {
			out.Services = append(out.Services, service.Name+" (in reserve)")
		}
	}
	return out
}

// passing lists the servers that must pass a check.
func passing(st api.Status, check string) []string {
	var names []string
	for _, s := range st.Servers {
		if slices.ContainsFunc(s.Probes, func(k api.ProbeKey) bool { return k.Check == check }) {
			names = append(names, s.Pool+"/"+s.Name)
		}
	}
	return names
}

// eventsOf picks the last events about any of these, less the steps of slow starts,
// which would leave no room for others.
func eventsOf(events []api.Event, names ...string) []api.Event {
	var out []api.Event
	for _, e := range events {
		if (e.Kind == "server" || e.Kind == "service") && !e.Step && slices.Contains(names, e.Name) {
			out = append(out, e)
		}
	}
	return out[max(0, len(out)-lastEvents):]
}
