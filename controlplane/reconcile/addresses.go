// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"net/netip"
	"slices"
)

// AddressTable is the kernel's table of addresses on interfaces.
type AddressTable interface {
	// Addresses reads all of them, whoever put them there.
	Addresses() ([]Address, error)
	AddAddress(Address) error    // and announces it; there already is success
	RemoveAddress(Address) error // gone is success
}

// Addresses is the target of service addresses. An address that was there before
// maitred is left alone for ever.
type Addresses struct {
	kernel AddressTable
	ledger *Ledger
}

// NewAddresses makes the target.
func NewAddresses(kernel AddressTable, ledger *Ledger) *Addresses { return &Addresses{kernel, ledger} }

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
	has := addressRows{target: t, there: map[Address]bool{}, by: map[netip.Addr][]Address{}, owned: t.ledger.all(kindAddress)}
	for _, a := range list {
		has.there[a] = true
		has.by[a.Addr] = append(has.by[a.Addr], a)
	}
	return has, nil
}

// addressRows is which addresses are there, and which of them are ours.
type addressRows struct {
	target *Addresses
	there  map[Address]bool
	by     map[netip.Addr][]Address
	owned  map[string]string
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
		if !has.there[a] && !has.isElsewhere(a) {
			effects = append(effects, has.add(a, w.serves(a.Addr)))
		}
	}
	for a := range has.there {
		if !has.owns(a) || w.Addresses[a] {
			continue
		}
		named[a.String()] = true
		if !w.leaves(a.Addr) {
			effects = append(effects, has.remove(a))
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
			return has.target.kernel.AddAddress(a)
		},
	}
}

func (has addressRows) remove(a Address) Effect {
	return Effect{
		Rank: RankNoAddress, Group: addressGroup(a.Addr), What: "remove address " + describe(a),
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
