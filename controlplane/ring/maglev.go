// SPDX-License-Identifier: Apache-2.0

package ring

import (
	"slices"
)

// sizes are those that a Maglev table may have: primes, so that every stride
// comes by every slot, and few of them, so that a table seldom changes its size,
// which moves everything. A slot takes two bytes.
var sizes = [...]int{1021, 4093, 16381, 65521}

// slotsEach is how many slots a member gets on average, at least, until the
// largest size is reached: a share is right to one slot, so here to 0.8 %. The
// paper asks for 100.
const slotsEach = 128

// Size is how many slots a Maglev table for so many members has. More members
// get more slots each: the last round of turns is what a change upsets, and it
// has to be a smaller part of the whole where a member's share is smaller. So the
// others move by no more than 2/N, up to 180 members, and 1.25 % above.
func Size(members int) int {
	for _, size := range sizes {
		if size >= members*max(slotsEach, 2*members) {
			return size
		}
	}
	return sizes[len(sizes)-1]
}

// Maglev is a table that gives each member its share of the slots, exactly but
// for one slot, in which few others move when a member comes, leaves, or has
// another weight. In each slot stands the index of a member; there are no slots
// where all are out. At most 65535 members are possible. Every one that is not
// out has a slot, up to as many as there are slots.
//
// It is the hash of D. Eisenbud et al., "Maglev: A Fast and Reliable Software
// Network Load Balancer", NSDI 2016, section 3.4: each member prefers the slots
// in an order of its own, and in turn each takes the first that is free. Weights
// alter how often its turn comes, as the paper has it without saying how: here
// after k turns a member of weight w is due at the time k/w.
//
// Members that are out take part, as the paper does not have it; then the others
// share out their slots, and go on in their turns as if these had just come free.
func Maglev(members []Member) []uint16 {
	all := shares(members)
	if len(all) == 0 {
		return nil
	}
	t := newTable(members, all)
	t.fill(len(t.slots))
	t.fill(t.dismiss())
	return t.slots
}

// table is a Maglev table while it is made.
type table struct {
	slots   []uint16
	taken   []bool
	strides []stride // by member
	turns   due
}

func newTable(members []Member, all []share) *table {
	size := Size(len(members))
	t := &table{
		slots:   make([]uint16, size),
		taken:   make([]bool, size),
		strides: make([]stride, len(members)),
	}
	for place, s := range all {
		t.strides[s.member] = newStride(members[s.member].Name, size)
		t.turns = append(t.turns, turn{share: s, place: place}) // a heap: all are due at once
	}
	return t
}

// fill gives so many free slots to those whose turn it is.
func (t *table) fill(free int) {
	for range free {
		member := t.turns.next()
		s := &t.strides[member]
		for t.taken[s.at] {
			s.step(len(t.slots))
		}
		t.slots[s.at], t.taken[s.at] = member, true
	}
}

// dismiss frees the slots of the members that are out, and counts them. There
// are no more turns for these; the others look again from the first slot that they
// prefer.
func (t *table) dismiss() (free int) {
	out := make([]bool, len(t.strides))
	for _, turn := range t.turns {
		out[turn.member] = turn.out
		t.strides[turn.member].at = t.strides[turn.member].first
	}
	for i, member := range t.slots {
		if out[member] {
			t.taken[i] = false
			free++
		}
	}
	t.turns = slices.DeleteFunc(t.turns, func(t turn) bool { return t.out })
	t.turns.heapify()
	return free
}

// stride is a member's order of preference: a permutation of the slots, which a
// step that has no divisor in common with their number walks through.
type stride struct{ first, width, at int }

func newStride(name string, size int) stride {
	first := int(hash(1, name) % uint64(size))
	return stride{first, int(hash(2, name)%uint64(size-1)) + 1, first}
}

func (s *stride) step(size int) {
	s.at += s.width
	if s.at >= size {
		s.at -= size
	}
}

// due is a heap of the members whose turn comes, the next one on top.
type due []turn

type turn struct {
	share
	place int // by name, where two are due at a time
	taken int // turns
}

// next is the member whose turn it is.
func (d due) next() uint16 {
	member := d[0].member
	d[0].taken++
	d.sink(0)
	return member
}

// sink puts one that is due later than those below it where it belongs.
func (d due) sink(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(d); child++ {
			if d[child].before(d[first]) {
				first = child
			}
		}
		if first == i {
			return
		}
		d[i], d[first] = d[first], d[i]
		i = first
	}
}

// heapify makes a heap of turns in any order.
func (d due) heapify() {
	for i := len(d)/2 - 1; i >= 0; i-- {
		d.sink(i)
	}
}

// before tells whether taken/weight is less, or the same and the place is.
func (t turn) before(o turn) bool {
	mine, others := int64(t.taken)*int64(o.weight), int64(o.taken)*int64(t.weight)
	return mine < others || mine == others && t.place < o.place
}
