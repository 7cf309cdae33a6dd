// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// New returns the state before the first configuration.
func New() State {
	return State{
		Config:   &config.Config{},
		Probes:   map[checkers.Key]Probe{},
		Servers:  map[ServerID]Server{},
		Services: map[string]Service{},
	}
}

// Apply returns the state after the events, which all happened by now, and what
// an operator wants to hear of it. Several events at once are decided once: a
// server that went down and came up among them has not changed.
//
// Every verdict and every mode is computed anew from the probes and from what
// was decided before, never counted up or down, so that an event that is heard
// twice does no harm.
func Apply(s State, now time.Time, events ...Event) (State, []Change) {
	next := State{
		Config: s.Config, Probes: maps.Clone(s.Probes), Overrides: maps.Clone(s.Overrides), Loads: maps.Clone(s.Loads),
		ServerOverrides: maps.Clone(s.ServerOverrides),
	}
	var changes []Change
	var loaded *Loaded
	for _, e := range events {
		switch e := e.(type) {
		case Loaded:
			loaded = &e
			next.Probes = keptProbes(next.Probes, e.Config)
			changes = append(changes, configChange(next.Config, e.Config, now))
			next.Config = e.Config
		case Probed:
			next.Probes = noted(next.Probes, e.Transition)
		case Overridden:
			next.Overrides = e.Applied(next.Overrides)
		case ServerOverridden:
			next.ServerOverrides = e.Applied(next.ServerOverrides)
		case Measured:
			next.Loads = measured(next.Loads, e)
		case Tick:
		}
	}
	changes = append(changes, next.keepNamed(now)...)
	changes = append(changes, next.keepServersNamed(now)...)
	next.decideServers(s, now)
	was := s.Services
	if loaded != nil {
		was = succeed(s, next, loaded.Held, now)
	}
	next.Services = decideServices(was, next, now)
	changes = append(changes, guardChanges(s, next, now)...)
	changes = append(changes, serverChanges(s, next, now)...)
	return next, append(changes, serviceChanges(s, next, now)...)
}

// Next tells when a Tick is due, if one is: when a linger ends, when a pending
// service must be decided without the results that are missing, when the weight of a
// server grows, when the time of an operator's word is up or that of the guard.
func (s State) Next() (time.Time, bool) {
	var next time.Time
	wait := func(due time.Time) {
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	for _, v := range s.Services {
		wait(v.DecideBy)
		wait(v.LingerUntil)
	}
	for _, v := range s.Servers {
		wait(v.Step)
		wait(v.Override.Until)
	}
	wait(s.Guard.Until)
	wait(s.Guard.Thaw)
	return next, !next.IsZero()
}

// keptProbes has an entry for each probe of the configuration, with the verdict
// that an earlier configuration already got from the same probe.
func keptProbes(old map[checkers.Key]Probe, cfg *config.Config) map[checkers.Key]Probe {
	kept := map[checkers.Key]Probe{}
	for _, p := range Probes(cfg) {
		kept[p.Key] = old[p.Key]
	}
	return kept
}

// noted writes the transition down, unless its probe is of a configuration that
// is gone.
func noted(probes map[checkers.Key]Probe, t checkers.Transition) map[checkers.Key]Probe {
	old, known := probes[t.Key]
	if !known {
		return probes
	}
	since := t.At
	if old.Status == t.Status {
		since = old.Since
	}
	r := t.Result
	probes[t.Key] = Probe{
		Status: t.Status, Outcome: r.Outcome, Class: r.Class, Percent: r.Percent, Hint: r.Hint, Message: r.Message, Since: since,
	}
	return probes
}

// serverChanges tells of other verdicts, and of other weights that follow from
// checks and time.
func serverChanges(old, next State, now time.Time) []Change {
	var changes []Change
	for id, s := range next.Servers {
		was := old.Servers[id]
		c := Change{At: now, Kind: KindServer, Name: id.String(), Reason: s.Reason}
		if !was.Override.none() && s.Override.none() {
			c.Reason = was.Override.ended(now) + "; " + s.Reason
		}
		switch {
		case was.Verdict != s.Verdict:
			c.From, c.To = was.Verdict.String(), s.Verdict.String()
		case !was.Override.same(s.Override):
		case was.Weight != s.Weight && was.Config.Weight == s.Config.Weight:
			c.From, c.To = "weight "+strconv.Itoa(was.Weight), "weight "+strconv.Itoa(s.Weight)
			c.Reason, c.Step = s.Factors.Text(s.Config.Weight), !s.Ramp.IsZero()
		default:
			continue
		}
		changes = append(changes, c)
	}
	return byName(changes)
}

// serviceChanges tells of other modes, and of other words of an operator that
// change no mode.
func serviceChanges(old, next State, now time.Time) []Change {
	var changes []Change
	for name, s := range next.Services {
		was := old.Services[name]
		c := Change{At: now, Kind: KindService, Name: name, Reason: s.Reason}
		if was.Override.Mode != OverrideAuto && s.Override.Mode == OverrideAuto {
			c.Reason = s.Override.said() + "; " + s.Reason
		}
		switch {
		case was.Mode != s.Mode:
			c.From, c.To = was.Mode.String(), s.Mode.String()
		case was.Override.same(s.Override) && was.Shed == s.Shed:
			continue
		}
		changes = append(changes, c)
	}
	return byName(changes)
}

// configChange says what a configuration changes, and how large it was and is if
// it grew or shrank.
func configChange(old, next *config.Config, now time.Time) Change {
	c := Change{At: now, Kind: KindConfig, Name: next.Director.Name, Reason: "configuration loaded"}
	if was, is := size(old), size(next); was != is {
		c.From, c.To = was, is
	}
	if old.Director.Name != "" { // else all is new
		c.Reason += ": " + difference(old, next)
	}
	return c
}

func size(c *config.Config) string {
	if len(c.Services)+len(c.Pools) == 0 {
		return "nothing"
	}
	servers := 0
	for _, p := range c.Pools {
		servers += len(p.Servers)
	}
	return count(len(c.Services), "service") + ", " + count(servers, "server")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func byName(changes []Change) []Change {
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return changes
}
