// SPDX-License-Identifier: Apache-2.0

package ring

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// Member is one of those who share a ring.
type Member struct {
	// Name tells it from the others of its ring, and has to be the same on all
	// directors: "10.0.0.11:80".
	Name string
	// Weight is its share in relation to the others', from 1. With less it has no
	// slot, and only counts in the size of a Maglev table.
	Weight int
	// Out keeps it from having a slot for now, without leaving the ring: when it
	// goes out of a Maglev table, or comes back, nothing moves but its own slots.
	Out bool
}

// share is what one member is to have of a ring, while it is made.
type share struct {
	member uint16 // its index among all members
	weight int
	out    bool
}

// shares are those of the members, by name: what follows is the same whatever
// the order of the members. There are none where all are out.
func shares(members []Member) []share {
	var all []share
	in := 0
	for i, m := range members {
		if m.Weight < 1 {
			continue
		}
		all = append(all, share{uint16(i), m.Weight, m.Out})
		if !m.Out {
			in++
		}
	}
	if in == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b share) int {
		return cmp.Compare(members[a.member].Name, members[b.member].Name)
	})
	return all
}

func (s share) isOut() bool { return s.out }

// hash is that of a name, another for each seed. Directors of one version agree
// on it, whatever machine they run on.
func hash(seed uint64, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return mix(h.Sum64() ^ seed)
}

// mix spreads each bit over all of them (the finalizer of SplitMix64): FNV leaves
// names alike that differ in their last letter.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
