// SPDX-License-Identifier: Apache-2.0

package state

import (
	"maps"
	"slices"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// grace is added to the detection budget before a pending service is decided
// without the results that are missing: time for a late run to report.
const grace = time.Second

// succeed returns what each service of a new configuration goes on from: a
// service of the old one, or what the kernel holds for its addresses.
func succeed(old, next State, found map[config.Virtual]Mode, now time.Time) map[string]Service {
	kernel := inKernel(old, found)
	services := map[string]Service{}
	for _, c := range next.Config.Services {
		was, known := former(old, c)
		held := heldFor(c, kernel)
		switch {
		case !known || was.Pool != c.Pool || was.unsure(c, countPool(next, c)),
			was.Own == ModePending && !sameServers(old, next, c.Pool):
			// Other servers are another service: what the kernel holds is left
			// in force until enough is known of them.
			was = Service{Since: now, DecideBy: decideBy(next.Config, c, now), Held: held}
		case was.Mode == ModePending:
			was.Held = held
		case (was.Mode == ModeServe || was.Mode == ModeBackup) && held.apologises():
			was.Mode = ModeSorry // it takes over an address of one that said so
		}
		services[c.Name] = was
	}
	return services
}

// inKernel is what the kernel holds for each address: what was found there, and
// what the services of the old configuration have made of it since.
func inKernel(old State, found map[config.Virtual]Mode) map[config.Virtual]Mode {
	kernel := map[config.Virtual]Mode{}
	maps.Copy(kernel, found)
	for _, c := range old.Config.Services {
		for _, v := range c.Virtuals() {
			kernel[v] = old.Services[c.Name].held()
		}
	}
	return kernel
}

// former is the old service that c goes on from, whatever it was called: one
// that has had an address of c, of several the one of its name. A service that
// has moved to other addresses is known by its name alone.
func former(old State, c config.Service) (Service, bool) {
	var names []string
	for _, o := range old.Config.Services {
		if shareVirtual(o, c) {
			names = append(names, o.Name)
		}
	}
	name := c.Name
	if len(names) > 0 && !slices.Contains(names, name) {
		name = names[0]
	}
	was, known := old.Services[name]
	return was, known
}

func shareVirtual(a, b config.Service) bool {
	virtuals := b.Virtuals()
	return slices.ContainsFunc(a.Virtuals(), func(v config.Virtual) bool { return slices.Contains(virtuals, v) })
}

// heldFor is the mode that the kernel holds for a service. Where its addresses
// differ, that in which the most must be heeded.
func heldFor(c config.Service, kernel map[config.Virtual]Mode) Mode {
	order := []Mode{ModePending, ModeServe, ModeBackup, ModeLinger, ModeShed, ModeSorry}
	held := ModePending
	for _, v := range c.Virtuals() {
		if m := kernel[v]; slices.Index(order, m) > slices.Index(order, held) {
			held = m
		}
	}
	return held
}

// unsure tells whether a service that serves would go down for want of results,
// as after a reload that has brought other servers under the same pool.
func (s Service) unsure(c config.Service, t tally) bool {
	if s.Own != ModeServe {
		return false
	}
	need := t.need(s.Own, c.Quorum)
	return !t.reaches(need, false, c.Quorum.Percent) && t.reaches(need, true, c.Quorum.Percent)
}

func sameServers(old, next State, pool string) bool {
	a, _ := old.Config.Pool(pool)
	b, _ := next.Config.Pool(pool)
	return slices.Equal(a.Servers, b.Servers)
}

// decideBy is when a service is decided whatever is known: the longest that a check
// of its pool, or of that in reserve, may take to find a dead server, and a grace.
func decideBy(cfg *config.Config, c config.Service, now time.Time) time.Time {
	var budget time.Duration
	budgets := checkers.Budgets(Probes(cfg))
	for _, part := range c.ByPool() {
		pool, _ := cfg.Pool(part.Pool)
		for key, b := range budgets {
			if slices.Contains(pool.Checks, key.Check) {
				budget = max(budget, b)
			}
		}
	}
	return now.Add(budget + grace)
}
