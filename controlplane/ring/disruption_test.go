// SPDX-License-Identifier: Apache-2.0

package ring

import (
	"fmt"
	"slices"
	"testing"
)

// moved compares two tables: of the slots that others than who had before it
// gives the share, in per cent, that has another owner now, and the share that
// had to, because its owner has fewer slots now.
func moved(before, after []Member, who string) (others, needed float64) {
	old, now := named(before, Maglev(before)), named(after, Maglev(after))
	fewer, total := map[string]int{}, 0
	for i := range old {
		fewer[old[i]]++
		fewer[now[i]]--
		if old[i] == who {
			continue
		}
		total++
		if old[i] != now[i] {
			others++
		}
	}
	for name, n := range fewer {
		if name != who {
			needed += float64(max(n, 0))
		}
	}
	return 100 * others / float64(total), 100 * needed / float64(total)
}

// change is what happens to the member i of a ring: what the ring is before and
// after. After it, no more of the others' slots move, in per cent, than most and
// those that have to because their owners' shares shrink.
type change struct {
	name          string
	before, after func(members []Member, i int)
	most          func(n int) float64
}

func changes() []change {
	none := func([]Member, int) {}
	next := func(members []Member, i int) { members[(i+1)%len(members)].Out = true }
	never := func(int) float64 { return 0 }
	twoOfN := func(n int) float64 { return 200 / float64(n) }
	// 2/N takes N slots each, and large rings have no room for so many.
	twoOfNOrSo := func(n int) float64 {
		if n > 180 {
			return 1.25
		}
		return twoOfN(n)
	}
	return []change{
		{"goes out", none, func(m []Member, i int) { m[i].Out = true }, never},
		{"goes out after another", next, func(m []Member, i int) { next(m, i); m[i].Out = true }, twoOfN},
		{"leaves", none, func(m []Member, i int) { m[i].Weight = 0 }, twoOfNOrSo},
		{"is halved", none, func(m []Member, i int) { m[i].Weight = max(m[i].Weight/2, 1) }, twoOfNOrSo},
		{"is doubled", none, func(m []Member, i int) { m[i].Weight *= 2 }, twoOfNOrSo},
	}
}

// To see the figures: go test -run Disruption -v.
func TestDisruption(t *testing.T) {
	const tries = 4
	for _, n := range []int{3, 5, 10, 31, 90, 100, 180, 300, 1000} {
		for kind, members := range map[string][]Member{"equal": equal(n), "various": various(n, 256, uint64(n))} {
			for _, c := range changes() {
				t.Run(fmt.Sprintf("one of %d %s %s", n, kind, c.name), func(t *testing.T) {
					var mean, most, need float64
					for try := range tries {
						i := try * n / tries
						before, after := slices.Clone(members), slices.Clone(members)
						c.before(before, i)
						c.after(after, i)
						got, needed := moved(before, after, members[i].Name)
						mean, most, need = mean+got/tries, max(most, got), need+needed/tries
						if got-needed > c.most(n) {
							t.Errorf("%s: %.2f %% of the others' slots moved, %.2f had to: over %.2f more", members[i].Name, got, needed, c.most(n))
						}
					}
					t.Logf("moved %.2f %% on average, %.2f at most; %.2f had to; 2/N is %.2f", mean, most, need, 200/float64(n))
				})
			}
		}
	}
}

// A pool of which half fails one by one moves no more at any step, and is shared
// out as exactly as ever.
func TestDisruptionOfManyThatGoOut(t *testing.T) {
	for _, n := range []int{10, 90} {
		members := various(n, 256, 9)
		for i := range n / 2 {
			before := slices.Clone(members)
			members[i].Out = true
			if got, needed := moved(before, members, members[i].Name); got-needed > 200/float64(n) {
				t.Errorf("%d of %d go out: %.2f %% of the others' slots moved, %.2f had to", i+1, n, got, needed)
			}
		}
	}
}
