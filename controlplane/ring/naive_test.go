// SPDX-License-Identifier: Apache-2.0

package ring

import (
	"cmp"
	"slices"
)

// naiveMaglev is pseudocode 1 of the paper, with its whole permutation table,
// and the turns of weights as the definition has them: of all who may take a
// slot, whoever has the least k/w. Then it takes the slots of
// those that are out away from them and goes on.
func naiveMaglev(members []Member) []string {
	var nodes []Member
	anyIn := false
	for _, n := range members {
		if n.Weight > 0 {
			nodes = append(nodes, n)
			anyIn = anyIn || !n.Out
		}
	}
	if !anyIn {
		return nil
	}
	slices.SortFunc(nodes, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	m := Size(len(members))
	permutation := make([][]int, len(nodes))
	for i, node := range nodes {
		offset := int(hash(1, node.Name) % uint64(m))
		skip := int(hash(2, node.Name)%uint64(m-1)) + 1
		for j := range m {
			permutation[i] = append(permutation[i], (offset+j*skip)%m)
		}
	}
	taken := make([]int, len(nodes))
	entry := make([]string, m)
	empty := m
	populate := func(may func(Member) bool) {
		for ; empty > 0; empty-- {
			i := -1
			for j := range nodes {
				if may(nodes[j]) && (i < 0 || taken[j]*nodes[i].Weight < taken[i]*nodes[j].Weight) {
					i = j
				}
			}
			next := 0
			for entry[permutation[i][next]] != "" {
				next++
			}
			entry[permutation[i][next]] = nodes[i].Name
			taken[i]++
		}
	}
	populate(func(Member) bool { return true })
	for _, n := range nodes {
		for slot := range entry {
			if n.Out && entry[slot] == n.Name {
				entry[slot] = ""
				empty++
			}
		}
	}
	populate(func(n Member) bool { return !n.Out })
	return entry
}

// naiveTurns is smooth weighted round robin by its definition, without any
// reduction of the weights.
func naiveTurns(members []Member, rounds int) []string {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	current, total := map[string]int{}, 0
	members = slices.DeleteFunc(members, func(m Member) bool { return m.Out })
	for _, m := range members {
		total += m.Weight
	}
	var out []string
	for range rounds {
		best := ""
		for _, m := range members {
			if m.Weight == 0 {
				continue
			}
			current[m.Name] += m.Weight
			if best == "" || current[m.Name] > current[best] {
				best = m.Name
			}
		}
		current[best] -= total
		out = append(out, best)
	}
	return out
}
