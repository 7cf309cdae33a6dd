// SPDX-License-Identifier: Apache-2.0

package ring

import "slices"

// turnsMax is how many slots a ring of turns has, at most, but for rounding and
// that every member has one.
const turnsMax = 4096

// Turns is a ring in which the members follow each other as evenly as their
// weights allow: who takes slot after slot gives each exactly its share in every
// round, and no member all its turns at once. In each slot stands the index of a
// member; there are no slots where all are out.
//
// The order is that of smooth weighted round robin, as nginx has it: each member
// earns its weight before every turn, the richest takes it and pays what all
// have earned. Weights are divided by what they have in common; those whose sum is
// still above 4096 are rounded to parts of 4096, and to one at least.
func Turns(members []Member) []uint16 {
	all := reduce(slices.DeleteFunc(shares(members), share.isOut))
	total := 0
	for _, s := range all {
		total += s.weight
	}
	slots := make([]uint16, 0, total)
	if total == len(all) { // all weigh 1
		for _, s := range all {
			slots = append(slots, s.member)
		}
		return slots
	}
	earned := make([]int, len(all))
	for range total {
		richest := 0
		for i, s := range all {
			earned[i] += s.weight
			if earned[i] > earned[richest] {
				richest = i
			}
		}
		earned[richest] -= total
		slots = append(slots, all[richest].member)
	}
	return slots
}

// reduce makes the weights as small as they can be.
func reduce(all []share) []share {
	divisor, total := 0, 0
	for _, s := range all {
		divisor = gcd(divisor, s.weight)
		total += s.weight
	}
	most := max(turnsMax, len(all))
	for i, s := range all {
		if total/divisor <= most {
			all[i].weight = s.weight / divisor
		} else {
			all[i].weight = max(1, (s.weight*most+total/2)/total)
		}
	}
	return all
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
