// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"slices"
	"testing"
)

// TestEventsLast proves that what was put in just before the end is delivered,
// whichever of the two the messenger sees first.
func TestEventsLast(t *testing.T) {
	for _, woken := range []bool{true, false} {
		e := newEvents()
		e.put(event{key: Key{Check: "a"}})
		e.put(event{key: Key{Check: "b"}})
		if !woken {
			<-e.wake
		}
		done := make(chan struct{})
		close(done)
		var got []string
		e.deliver(done, func(one event) { got = append(got, one.key.Check) })
		if want := []string{"a", "b"}; !slices.Equal(got, want) {
			t.Errorf("woken %v: got %v, want %v", woken, got, want)
		}
	}
}
