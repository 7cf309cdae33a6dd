// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
)

// AddressTable is the kernel's table of addresses on interfaces.
type AddressTable interface {
	// Addresses reads all of them, whoever put them there.
	Addresses() ([]Address, error)
	AddAddress(Address) error    // there already is success
	RemoveAddress(Address) error // gone is success
	Announcer
}

// Announcer tells the neighbours on a link which addresses are there.
type Announcer interface {
	// Running reads the interfaces over which neighbours can be told, as index
	// by name.
	Running() (map[string]int, error)
	Announce(Address) error
}

// Addresses is the target of service addresses. An address that was there before
// maitred is left alone for ever.
type Addresses struct {
	kernel AddressTable
	ledger *Ledger
	// announced is over which link, by index, the neighbours were told of an
	// address since both are there. It belongs to the pass that is under way.
	announced map[Address]int
}

// NewAddresses makes the target.
func NewAddresses(kernel AddressTable, ledger *Ledger) *Addresses {
	return &Addresses{kernel: kernel, ledger: ledger, announced: map[Address]int{}}
}

// Name implements Target.
func (*Addresses) Name() string { return "addresses" }

// Carries implements Target.
func (*Addresses) Carries() bool { return true }

// Read implements Target.
func (t *Addresses) Read(context.Context) (Snapshot, error) {
	list, err := t.kernel.Addresses()
	if err != nil {
		return nil, err
	}
	running, err := t.kernel.Running()
	if err != nil {
		return nil, err
	}
	has := addressRows{target: t, running: running, there: map[Address]bool{}, by: map[netip.Addr][]Address{}, owned: t.ledger.all(kindAddress)}
	for _, a := range list {
		has.there[a] = true
		has.by[a.Addr] = append(has.by[a.Addr], a)
	}
	maps.DeleteFunc(t.announced, func(a Address, link int) bool { return !has.there[a] || running[a.Interface] != link })
	has.announced = maps.Clone(t.announced)
	return has, nil
}

// addressRows is which addresses are there, and which of them are ours.
type addressRows struct {
	target    *Addresses
	there     map[Address]bool
	by        map[netip.Addr][]Address
	owned     map[string]string
	running   map[string]int
	announced map[Address]int
}

// Rows implements Snapshot.
func (has addressRows) Rows() int {
	n := 0
	for a := range has.there {
		if has.owns(a) {
			n++
		}
	}
	return n
}

func (has addressRows) owns(a Address) bool {
	_, ours := has.owned[a.String()]
	return ours
}

// Plan implements Snapshot.
func (has addressRows) Plan(w Want) []Effect {
	var effects []Effect
	named := map[string]bool{}
	for a := range w.Addresses {
		named[a.String()] = true
		absent := !has.there[a] && !has.isElsewhere(a)
		if absent {
			effects = append(effects, has.add(a, w.serves(a.Addr)))
		}
		link, up := has.running[a.Interface]
		if up && has.announced[a] != link && (absent || has.there[a] && has.owns(a)) {
			effects = append(effects, has.announce(a, link))
		}
	}
	for a := range has.there {
		if !has.owns(a) || w.Addresses[a] {
			continue
		}
		named[a.String()] = true
		if !w.leaves(a.Addr) {
			var needs []Group
			if w.moves(a.Addr) {
				needs = w.attaches()
			}
			effects = append(effects, has.remove(a, needs))
		}
	}
	for name := range has.owned {
		if !named[name] {
			effects = append(effects, has.forget(name))
		}
	}
	return effects
}

// isElsewhere tells whether somebody else has put the address on an interface.
func (has addressRows) isElsewhere(a Address) bool {
	return slices.ContainsFunc(has.by[a.Addr], func(b Address) bool { return !has.owns(b) })
}

func (has addressRows) add(a Address, needs []Group) Effect {
	return Effect{
		Rank: RankAddress, Group: addressGroup(a.Addr), Needs: needs, What: "add address " + describe(a),
		Do: func() error {
			if err := has.target.ledger.note(kindAddress, "", a.String()); err != nil {
				return err
			}
			err := has.target.kernel.AddAddress(a)
			if err != nil { // whoever puts it there now is not us
				err = errors.Join(err, has.target.ledger.forget(kindAddress, a.String()))
			}
			return err
		},
	}
}

func (has addressRows) announce(a Address, link int) Effect {
	return Effect{
		Rank: RankAnnounce, Group: Group("announcement " + a.String()), Needs: []Group{addressGroup(a.Addr)},
		What: "announce address " + describe(a), Tidy: true,
		Do: func() error {
			if err := has.target.kernel.Announce(a); err != nil {
				return err
			}
			has.target.announced[a] = link
			return nil
		},
	}
}

// remove takes an address away; one that only moves stays until the sorry engine
// is where it moves to.
func (has addressRows) remove(a Address, needs []Group) Effect {
	return Effect{
		Rank: RankNoAddress, Group: addressGroup(a.Addr), Needs: needs, What: "remove address " + describe(a),
		Do: func() error {
			if err := has.target.kernel.RemoveAddress(a); err != nil {
				return err
			}
			return has.target.ledger.forget(kindAddress, a.String())
		},
	}
}

func (has addressRows) forget(name string) Effect {
	return Effect{
		Rank: RankNoAddress, Group: Group("address " + name), What: "forget address " + name, Tidy: true,
		Do: func() error { return has.target.ledger.forget(kindAddress, name) },
	}
}

func describe(a Address) string { return a.Addr.String() + " on " + a.Interface }
