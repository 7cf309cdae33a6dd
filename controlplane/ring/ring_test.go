// SPDX-License-Identifier: Apache-2.0

package ring

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// equal are n members of one weight.
func equal(n int) []Member {
	var out []Member
	for i := range n {
		out = append(out, Member{Name: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1), Weight: 100})
	}
	return out
}

// various are n members with weights from 1 to most.
func various(n, most int, seed uint64) []Member {
	random := rand.New(rand.NewPCG(seed, 1))
	out := equal(n)
	for i := range out {
		out[i].Weight = 1 + random.IntN(most)
	}
	return out
}

// named are the names in the slots.
func named(members []Member, slots []uint16) []string {
	out := make([]string, len(slots))
	for i, slot := range slots {
		out[i] = members[slot].Name
	}
	return out
}

func counts(members []Member, slots []uint16) []int {
	out := make([]int, len(members))
	for _, slot := range slots {
		out[slot]++
	}
	return out
}

// weight is a member's while it is not out.
func weight(m Member) int {
	if m.Out {
		return 0
	}
	return max(m.Weight, 0)
}

// weights sums up those of members that are not out.
func weights(members []Member) (sum int) {
	for _, m := range members {
		sum += weight(m)
	}
	return sum
}

// scenes are the rings that most tests look at.
func scenes() map[string][]Member {
	return map[string][]Member{
		"one":                {{"a", 7, false}},
		"two":                {{"b", 1, false}, {"a", 1, false}},
		"very unequal":       {{"a", 1, false}, {"b", 65535, false}},
		"one is out":         {{"a", 100, false}, {"b", 30, true}, {"c", 50, false}},
		"weighs nothing":     {{"a", 100, false}, {"b", 0, false}, {"c", 50, false}},
		"forty by weight":    various(40, 256, 6),
		"seven":              equal(7),
		"eight":              equal(8),
		"hundred":            equal(100),
		"hundred by weight":  various(100, 256, 1),
		"thousand":           equal(1000),
		"thousand by weight": various(1000, 65535, 2),
	}
}

func TestMaglevIsThePapers(t *testing.T) {
	for name, members := range scenes() {
		if len(members) > 40 {
			continue // the reference is slow: the fuzzer has more
		}
		t.Run(name, func(t *testing.T) {
			slots := Maglev(members)
			if got := named(members, slots); !slices.Equal(got, naiveMaglev(members)) {
				t.Error("differs from the reference")
			}
		})
	}
}

func TestTurnsAreSmooth(t *testing.T) {
	for name, members := range map[string][]Member{
		"one":        {{"a", 7, false}},
		"nginx's":    {{"a", 5, false}, {"b", 1, false}, {"c", 1, false}},
		"reducible":  {{"a", 300, false}, {"b", 100, false}, {"c", 200, false}},
		"equal":      equal(50),
		"one is out": {{"a", 2, false}, {"b", 30, true}, {"c", 1, false}},
		"various":    various(40, 20, 3),
	} {
		t.Run(name, func(t *testing.T) {
			slots := Turns(members)
			got, want := named(members, slots), naiveTurns(members, weights(members))
			// The reference repeats the ring as often as the weights were reduced.
			if len(want)%len(got) != 0 {
				t.Fatalf("%d slots, the weights sum up to %d", len(got), len(want))
			}
			for i := range want {
				if want[i] != got[i%len(got)] {
					t.Fatalf("turn %d is %s's, want %s's", i, got[i%len(got)], want[i])
				}
			}
		})
	}
}

// A share is exact to one slot.
func TestShares(t *testing.T) {
	for name, members := range scenes() {
		t.Run(name, func(t *testing.T) {
			for what, slots := range map[string][]uint16{"Maglev": Maglev(members), "turns": Turns(members)} {
				for i, got := range counts(members, slots) {
					want := float64(weight(members[i])) / float64(weights(members)) * float64(len(slots))
					if (got > 0) != (want > 0) || math.Abs(float64(got)-want) > 1 {
						t.Errorf("%s: %v has %d of %d slots, want %.1f", what, members[i], got, len(slots), want)
					}
				}
			}
		})
	}
}

// Where all weigh the same each has its share to 1 per cent, as long as a table
// has 128 slots for each.
func TestSharesOfEqualsAreWithinOnePerCent(t *testing.T) {
	for _, n := range []int{1, 2, 3, 6, 7, 8, 13, 31, 32, 64, 90, 91, 127, 180, 333, 511} {
		members := equal(n)
		slots := Maglev(members)
		for i, got := range counts(members, slots) {
			want := float64(len(slots)) / float64(n)
			if math.Abs(float64(got)-want) > want/100 {
				t.Fatalf("%d members: %v has %d of %d slots", n, members[i], got, len(slots))
			}
		}
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	for name, members := range scenes() {
		t.Run(name, func(t *testing.T) {
			mixed := slices.Clone(members)
			random.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			for what, ring := range map[string]func([]Member) []uint16{"Maglev": Maglev, "Turns": Turns} {
				one, other := ring(members), ring(mixed)
				if !slices.Equal(named(members, one), named(mixed, other)) {
					t.Errorf("%s goes by the order of the members", what)
				}
			}
		})
	}
}

func TestNobody(t *testing.T) {
	for name, members := range map[string][]Member{"none": nil, "all out": {{"a", 1, true}}, "none with a weight": {{"a", 0, false}, {"b", -1, false}}} {
		t.Run(name, func(t *testing.T) {
			if m, s := Maglev(members), Turns(members); len(m) != 0 || len(s) != 0 {
				t.Errorf("%d and %d slots", len(m), len(s))
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for _, size := range sizes {
		for d := 2; d*d <= size; d++ {
			if size%d == 0 {
				t.Errorf("%d is %d times %d", size, d, size/d)
			}
		}
	}
	for members, want := range map[int]int{0: 1021, 1: 1021, 7: 1021, 8: 4093, 31: 4093, 32: 16381, 90: 16381, 91: 65521, 16383: 65521} {
		if got := Size(members); got != want {
			t.Errorf("%d members: %d slots, want %d", members, got, want)
		}
	}
}

// Rings of any members are like the references, and keep what they promise.
func FuzzRing(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1})
	f.Add([]byte{0, 5, 0, 1, 0, 1, 0, 0})
	f.Add([]byte{255, 255, 0, 1, 128, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var members []Member
		for ; len(data) >= 2 && len(members) < 20; data = data[2:] {
			members = append(members, Member{fmt.Sprintf("m%d", len(members)*7919%31), int(binary.BigEndian.Uint16(data)), data[1]%8 == 7})
		}
		slots := Maglev(members)
		if !slices.Equal(named(members, slots), naiveMaglev(members)) {
			t.Error("the table differs from the reference")
		}
		turns := Turns(members)
		if total := weights(members); total > 0 && total <= turnsMax && !slices.Equal(named(members, turns), naiveTurns(members, len(turns))) {
			t.Error("the turns differ from the reference")
		}
		for i, n := range counts(members, turns) {
			if (n > 0) != (weight(members[i]) > 0) {
				t.Errorf("%v has %d turns of %d", members[i], n, len(turns))
			}
		}
	})
}

func BenchmarkMaglev(b *testing.B) {
	for _, n := range []int{2, 90, 100, 511, 1000} {
		b.Run(fmt.Sprintf("%d slots, %d members", Size(n), n), func(b *testing.B) {
			members := various(n, 256, 5)
			for b.Loop() {
				Maglev(members)
			}
		})
	}
}

func BenchmarkTurns(b *testing.B) {
	members := various(1000, 65535, 5)
	for b.Loop() {
		Turns(members)
	}
}
