// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// Sorry carries out what an operator says of services. It is kept before it is done,
// and told once the kernel agrees or has failed to a few times.
func (s *Server) Sorry(ctx context.Context, w api.Word) (api.Said, error) {
	before, left, err := s.say(w)
	if err != nil {
		return api.Said{}, err
	}
	said := api.Said{Left: left, Kernel: s.disagreements(ctx)}
	now := *s.decider.snapshot.Load()
	for _, c := range now.Config.Services {
		was, meant := before[c.Given()]
		if !meant {
			continue
		}
		decided := now.Services[c.Name]
		said.Services = append(said.Services, api.SaidOf{
			Name: c.Name, Mode: decided.Mode.String(), Reason: decided.Reason, Page: decided.Page,
			Changed: was != now.Overrides[c.Given()],
		})
	}
	return said, nil
}

// say has it decided, and returns what was said before of the services that are
// meant, and those that it can't be done to.
func (s *Server) say(w api.Word) (before map[string]state.Override, left []api.Left, err error) {
	s.saying.Lock()
	defer s.saying.Unlock()
	now := *s.decider.snapshot.Load()
	o := state.Override{Mode: state.OverrideMode(w.Mode), Page: w.Page, Shed: w.Fraction, Since: time.Now().UTC().Round(0)}
	switch w.Mode {
	case "":
		o.Mode = "nothing" // which Check refuses: to say nothing is not to take all back
	case "auto":
		o.Mode, o.Since = state.OverrideAuto, time.Time{}
	}
	if err := o.Check(); err != nil {
		return nil, nil, &api.FilterError{Text: err.Error()}
	}
	if _, there := now.Config.Page(w.Page); w.Page != "" && !there {
		names := pageNames(now.Config)
		return nil, nil, &api.FilterError{Text: fmt.Sprintf("there is no page %q%s: there are %s",
			w.Page, config.DidYouMean(w.Page, names), few(names))}
	}
	names, left, err := meant(w, o, now.Config)
	if err != nil {
		return nil, nil, err
	}
	prepare(now.Config, w.Page, names)
	before, said := map[string]state.Override{}, maps.Clone(now.Overrides)
	if said == nil {
		said = map[string]state.Override{}
	}
	var events []state.Event
	for _, name := range names {
		e := state.Overridden{Service: name, Override: o}
		before[name] = said[name]
		said = e.Applied(said)
		events = append(events, e)
	}
	if err := s.overrides.keep(said); err != nil {
		return nil, nil, err
	}
	if err := s.decider.ask(events...); err != nil {
		return nil, nil, err
	}
	return before, left, s.overrides.keep(s.decider.snapshot.Load().Overrides) // a reload may have come in between
}

// keepOverrides notes what a configuration has left of what was said.
func (s *Server) keepOverrides() {
	s.saying.Lock()
	defer s.saying.Unlock()
	now := s.decider.snapshot.Load()
	if err := errors.Join(s.overrides.keep(now.Overrides), s.serverOverrides.keep(now.ServerOverrides)); err != nil {
		s.opts.Logger.Error("what operators have said will not outlive the daemon", "error", err)
	}
}

// recall returns what operators had said before this start.
func (s *Server) recall(cfg *config.Config) []state.Event {
	var services, servers error
	s.overrides, services = openOverrides[string, state.Override](overridesFile(cfg), "services")
	s.serverOverrides, servers = openOverrides[state.ServerID, state.ServerOverride](serverOverridesFile(cfg), "servers")
	for _, err := range []error{services, servers} {
		if err != nil {
			s.opts.Logger.Error("going on without what operators have said", "error", err)
			s.publish(api.Event{Kind: "config", Name: cfg.Director.Name, Reason: err.Error()})
		}
	}
	var events []state.Event
	for name, o := range s.overrides.kept {
		events = append(events, state.Overridden{Service: name, Override: o})
	}
	for id, o := range s.serverOverrides.kept {
		events = append(events, state.ServerOverridden{Server: id, Override: o})
	}
	return events
}

// meant lists the services that a word is for, as the file names them. What can't be
// done to a service is an error where it is named; where it is one of many it is left
// as it is.
func meant(w api.Word, o state.Override, cfg *config.Config) ([]string, []api.Left, error) {
	known, cannot := map[string]bool{}, map[string]string{}
	for _, c := range cfg.Services {
		known[c.Given()] = true
		if reason := hinders(o, c, cfg); reason != "" {
			cannot[c.Given()] = reason
		}
	}
	all := slices.Sorted(maps.Keys(known))
	patterns := w.Services
	if w.All {
		patterns = append([]string{"*"}, patterns...)
	}
	names, left := map[string]bool{}, map[string]bool{}
	for _, pattern := range patterns {
		found, many := false, strings.ContainsAny(pattern, "*?[")
		for _, name := range all {
			matches, err := path.Match(pattern, name)
			switch {
			case err != nil:
				return nil, nil, &api.FilterError{Text: fmt.Sprintf("%q is no pattern of names", pattern)}
			case !matches:
			case cannot[name] != "" && !many:
				return nil, nil, &api.FilterError{Text: fmt.Sprintf("service %s: %s", name, cannot[name])}
			case cannot[name] != "":
				found, left[name] = true, true
			default:
				found, names[name] = true, true
			}
		}
		if !found {
			return nil, nil, noService(pattern, all)
		}
	}
	if len(names)+len(left) == 0 {
		return nil, nil, &api.FilterError{Text: "name the services that are meant: there are " + few(all)}
	}
	var reasons []api.Left
	for _, name := range slices.Sorted(maps.Keys(left)) {
		reasons = append(reasons, api.Left{Name: name, Reason: cannot[name]})
	}
	return slices.Sorted(maps.Keys(names)), reasons, nil
}

// hinders tells why a word can't be done to a service; empty: it can. A page in
// another protocol than the service's own would not be understood by its clients.
func hinders(o state.Override, c config.Service, cfg *config.Config) string {
	if o.Mode == state.OverrideShed && c.Protocol != config.TCP {
		return "it is of udp, and no connection can be turned away"
	}
	shown, ok := cfg.Page(o.Page)
	if !ok {
		return ""
	}
	speaks := cmp.Or(shown.Protocol, page.HTTP)
	if !shown.Suits(c.Protocol) {
		return fmt.Sprintf("it is of %s, and cannot show page %s, of protocol %s", c.Protocol, shown.Name, speaks)
	}
	own, has := cfg.Page(c.Sorry.Page)
	heard := cmp.Or(own.Protocol, page.HTTP)
	if has && heard != speaks && heard != page.Raw && speaks != page.Raw {
		return fmt.Sprintf("its own page %s is of protocol %s: its clients would not understand page %s, of protocol %s",
			own.Name, heard, shown.Name, speaks)
	}
	return ""
}

// prepare makes the images of a page that services are to show: the decider would be
// busy with it.
func prepare(cfg *config.Config, name string, services []string) {
	shown, ok := cfg.Page(name)
	for _, c := range cfg.Services {
		if ok && slices.Contains(services, c.Given()) {
			shown.For(c)
		}
	}
}

// noService says that a name or a pattern is of no service.
func noService(pattern string, all []string) error {
	if name, _, part := strings.Cut(pattern, "/"); part && slices.Contains(all, name) {
		return &api.FilterError{Text: fmt.Sprintf("%s is one family of a service: name %s, which is both", pattern, name)}
	}
	if strings.ContainsAny(pattern, "*?[") {
		return &api.FilterError{Text: fmt.Sprintf("no service's name matches %q: there are %s", pattern, few(all))}
	}
	return &api.FilterError{Text: fmt.Sprintf("there is no service %q%s: there are %s",
		pattern, config.DidYouMean(pattern, all), few(all))}
}

func pageNames(cfg *config.Config) []string {
	var names []string
	for _, p := range cfg.Pages {
		names = append(names, p.Name)
	}
	return names
}
