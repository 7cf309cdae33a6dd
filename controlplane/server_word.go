// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// longestWord is the longest time that a word of an operator can have.
const longestWord = 365 * 24 * time.Hour

// Server carries out what an operator says of real servers. It is kept before it is
// done, and told once the kernel agrees or has failed to a few times.
func (s *Server) Server(ctx context.Context, w api.ServerWord) (api.ServerSaid, error) {
	before, names, err := s.sayOfServers(w)
	if err != nil {
		return api.ServerSaid{}, err
	}
	said := api.ServerSaid{Kernel: s.disagreements(ctx)}
	now := *s.decider.snapshot.Load()
	for _, id := range names {
		decided := now.Servers[id]
		said.Servers = append(said.Servers, api.ServerSaidOf{
			Name: id.String(), Verdict: decided.Verdict.String(), Weight: decided.Weight, Reason: decided.Reason,
			Changed: before[id] != now.ServerOverrides[id],
		})
	}
	return said, nil
}

// sayOfServers has it decided, and returns what was said before, and of which servers
// it is said.
func (s *Server) sayOfServers(w api.ServerWord) (before map[state.ServerID]state.ServerOverride, names []state.ServerID, err error) {
	s.saying.Lock()
	defer s.saying.Unlock()
	now := *s.decider.snapshot.Load()
	o, err := overrideOf(w, time.Now().UTC().Round(0))
	if err != nil {
		return nil, nil, &api.FilterError{Text: err.Error()}
	}
	if names, err = meantServers(w.Servers, now.Config); err != nil {
		return nil, nil, err
	}
	said := maps.Clone(now.ServerOverrides)
	var events []state.Event
	for _, id := range names {
		e := state.ServerOverridden{Server: id, Override: o}
		said = e.Applied(said)
		events = append(events, e)
	}
	if err := s.serverOverrides.keep(said); err != nil {
		return nil, nil, err
	}
	if err := s.decider.ask(events...); err != nil {
		return nil, nil, err
	}
	return now.ServerOverrides, names, s.serverOverrides.keep(s.decider.snapshot.Load().ServerOverrides)
}

// overrideOf reads a word.
func overrideOf(w api.ServerWord, now time.Time) (state.ServerOverride, error) {
	o := state.ServerOverride{Mode: state.ServerMode(w.Mode), Weight: w.Weight, Since: now}
	switch w.Mode {
	case "":
		o.Mode = "nothing" // which Check refuses: to say nothing is not to take all back
	case "auto":
		o.Mode = state.ServerAuto
	}
	switch seconds := w.For * float64(time.Second); {
	case !(seconds >= 0 && seconds <= float64(longestWord)):
		return o, fmt.Errorf("%v seconds are no time for it: above 0 and at most %v", w.For, longestWord)
	case seconds > 0:
		o.Until = now.Add(time.Duration(math.Ceil(seconds)))
	}
	return o, o.Check()
}

// meantServers lists the servers that patterns name, in the order of the configuration.
func meantServers(patterns []string, cfg *config.Config) ([]state.ServerID, error) {
	var all []string
	var ids, names []state.ServerID
	for _, pool := range cfg.Pools {
		for _, c := range pool.Servers {
			id := state.ServerID{Pool: pool.Name, Name: c.Name}
			ids, all = append(ids, id), append(all, id.String())
		}
	}
	chosen := map[string]bool{}
	for _, pattern := range patterns {
		found := false
		for _, name := range all {
			matches, err := path.Match(pattern, name)
			if err != nil {
				return nil, &api.FilterError{Text: fmt.Sprintf("%q is no pattern of names", pattern)}
			}
			if matches {
				found, chosen[name] = true, true
			}
		}
		if !found {
			return nil, noServer(pattern, all, cfg)
		}
	}
	if len(patterns) == 0 {
		return nil, &api.FilterError{Text: "name the servers that are meant: there are " + few(all)}
	}
	for _, id := range ids {
		if chosen[id.String()] {
			names = append(names, id)
		}
	}
	return names, nil
}

// noServer says that a name or a pattern is of no server.
func noServer(pattern string, all []string, cfg *config.Config) error {
	named := func(p config.Pool) bool { return p.Name == pattern }
	switch {
	case slices.ContainsFunc(cfg.Pools, named):
		return &api.FilterError{Text: fmt.Sprintf("%s is a pool: '%s/*' means all of its servers", pattern, pattern)}
	case strings.ContainsAny(pattern, "*?["):
		return &api.FilterError{Text: fmt.Sprintf("no server's name matches %q: there are %s", pattern, few(all))}
	}
	return &api.FilterError{Text: fmt.Sprintf("there is no server %q%s: there are %s", pattern, config.DidYouMean(pattern, all), few(all))}
}
