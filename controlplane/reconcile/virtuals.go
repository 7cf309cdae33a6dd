// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// VirtualTable is the kernel's table of IPVS services.
type VirtualTable interface {
	// Virtuals reads all services that a config.Virtual can name, whoever made
	// them, with their destinations.
	Virtuals() (map[config.Virtual]Forward, error)
	// PutVirtual makes a service or sets its scheduler and flags; its
	// destinations, whatever f says of them, and connections stay.
	PutVirtual(v config.Virtual, f Forward) error
	DeleteVirtual(v config.Virtual) error // with its destinations; gone is success
}

// DestinationTable is the kernel's table of IPVS destinations.
type DestinationTable interface {
	PutDestination(v config.Virtual, server netip.AddrPort, d Destination) error
	DeleteDestination(v config.Virtual, server netip.AddrPort) error // gone is success
	// Idle tells whether no connection is left to a destination.
	Idle(v config.Virtual, server netip.AddrPort) (bool, error)
}

// Virtuals is the target of IPVS services and their destinations. Services that
// neither the ledger nor a Want has ever named are somebody else's.
type Virtuals struct {
	services     VirtualTable
	destinations DestinationTable
	ledger       *Ledger
}

// NewVirtuals makes the target.
func NewVirtuals(services VirtualTable, destinations DestinationTable, ledger *Ledger) *Virtuals {
	return &Virtuals{services, destinations, ledger}
}

// Name implements Target.
func (*Virtuals) Name() string { return "ipvs" }

// Carries implements Target.
func (*Virtuals) Carries() bool { return true }

// Read implements Target.
func (t *Virtuals) Read(context.Context) (Snapshot, error) {
	table, err := t.services.Virtuals()
	if err != nil {
		return nil, err
	}
	return virtualRows{target: t, table: table, owned: t.ledger.all(kindVirtual)}, nil
}

// virtualRows is what IPVS holds, and what of it is ours.
type virtualRows struct {
	target *Virtuals
	table  map[config.Virtual]Forward
	owned  map[string]string
}

// Rows implements Snapshot.
func (has virtualRows) Rows() int {
	n := 0
	for v, f := range has.table {
		if has.owns(v) {
			n += 1 + len(f.Destinations)
		}
	}
	return n
}

func (has virtualRows) owns(v config.Virtual) bool {
	_, ours := has.owned[virtualName(v)]
	return ours
}

// Plan implements Snapshot.
func (has virtualRows) Plan(w Want) []Effect {
	var effects []Effect
	mine := names(w.Virtuals)
	for v, f := range w.Virtuals {
		was, there := has.table[v]
		if !there || was.Scheduler != f.Scheduler || was.Ports != f.Ports || was.Altered {
			effects = append(effects, has.put(v, f, mine))
		} else if !has.owns(v) {
			effects = append(effects, has.adopt(v, mine))
		}
		effects = append(effects, has.planDestinations(v, was, f)...)
	}
	named := map[string]bool{}
	for _, name := range slices.Concat(mine, names(has.table), names(w.Leave)) {
		named[name] = true
	}
	for v, was := range has.table {
		if _, wanted := w.Virtuals[v]; !wanted && has.owns(v) && !w.Leave[v] {
			effects = append(effects, has.withdraw(v, was)...)
		}
	}
	for name := range has.owned {
		if !named[name] {
			effects = append(effects, has.forget(name))
		}
	}
	return effects
}

func names[V any](of map[config.Virtual]V) []string {
	out := make([]string, 0, len(of))
	for v := range of {
		out = append(out, virtualName(v))
	}
	return out
}

// planDestinations compares the destinations of a service that is wanted.
func (has virtualRows) planDestinations(v config.Virtual, was, f Forward) []Effect {
	var effects []Effect
	for server, d := range f.Destinations {
		old, there := was.Destinations[server]
		switch {
		case d.Dead && there:
			effects = append(effects, has.deleteDestination(v, server, nil))
		case d.Dead, d.Keep, there && old == d:
		default:
			effects = append(effects, has.putDestination(v, server, d, there))
		}
	}
	for server, old := range was.Destinations {
		if _, named := f.Destinations[server]; !named {
			effects = append(effects, has.retire(v, server, old)...)
		}
	}
	return effects
}

// retire takes a living destination out of service. Its connections are left to
// end: deleting it resets them. Those of UDP have no end, and go elsewhere
// unharmed.
func (has virtualRows) retire(v config.Virtual, server netip.AddrPort, old Destination) []Effect {
	remove := has.deleteDestination(v, server, nil)
	if v.Proto == config.UDP {
		return []Effect{remove}
	}
	now := remove.Do
	remove.Rank = RankRetired
	remove.Tidy = true
	remove.Do = func() error {
		idle, err := has.target.destinations.Idle(v, server)
		if err != nil {
			return err
		}
		if !idle {
			return errLater
		}
		return now()
	}
	if old.Weight == 0 {
		return []Effect{remove}
	}
	return []Effect{has.putDestination(v, server, Destination{Local: old.Local, Method: old.Method, Tunnel: old.Tunnel}, true), remove}
}

// withdraw deletes a service, after what leads to it.
func (has virtualRows) withdraw(v config.Virtual, was Forward) []Effect {
	needs := []Group{addressGroup(v.Addr.Addr())}
	effects := []Effect{{
		Rank: RankNoVirtual, Group: virtualGroup(v), Needs: needs, What: "delete service " + virtualName(v),
		Do: func() error {
			if err := has.target.services.DeleteVirtual(v); err != nil {
				return err
			}
			return has.target.ledger.forget(kindVirtual, virtualName(v))
		},
	}}
	for server := range was.Destinations {
		effects = append(effects, has.deleteDestination(v, server, needs))
	}
	return effects
}

// put makes a service. The first one that is put enters all of mine in the
// ledger, in one stroke.
func (has virtualRows) put(v config.Virtual, f Forward, mine []string) Effect {
	what := fmt.Sprintf("put service %s, scheduler %s", virtualName(v), f.Scheduler)
	if f.Ports {
		what += " by ports too"
	}
	return Effect{
		Rank: RankVirtual, Group: virtualGroup(v), What: what,
		Do: func() error {
			if err := has.target.ledger.note(kindVirtual, "", mine...); err != nil {
				return err
			}
			return has.target.services.PutVirtual(v, f)
		},
	}
}

func (has virtualRows) adopt(v config.Virtual, mine []string) Effect {
	return Effect{
		Rank: RankVirtual, Group: virtualGroup(v), What: "adopt service " + virtualName(v), Tidy: true,
		Do: func() error { return has.target.ledger.note(kindVirtual, "", mine...) },
	}
}

func (has virtualRows) forget(name string) Effect {
	return Effect{
		Rank: RankNoVirtual, Group: Group("virtual " + name), What: "forget service " + name, Tidy: true,
		Do: func() error { return has.target.ledger.forget(kindVirtual, name) },
	}
}

func (has virtualRows) putDestination(v config.Virtual, server netip.AddrPort, d Destination, there bool) Effect {
	e := Effect{
		Rank: RankDestination, Group: virtualGroup(v),
		What: fmt.Sprintf("put destination %s of %s, %s, weight %d", server, virtualName(v), d.way(), d.Weight),
		Do:   func() error { return has.target.destinations.PutDestination(v, server, d) },
	}
	if there && d.Weight == 0 {
		e.Rank = RankNoDest
	}
	return e
}

func (has virtualRows) deleteDestination(v config.Virtual, server netip.AddrPort, needs []Group) Effect {
	return Effect{
		Rank: RankNoDest, Group: virtualGroup(v), Needs: needs,
		What: fmt.Sprintf("delete destination %s of %s", server, virtualName(v)),
		Do:   func() error { return has.target.destinations.DeleteDestination(v, server) },
	}
}
