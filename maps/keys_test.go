// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"testing"

	"github.com/maitred-lb/maitred/bpf"
)

func TestSetKeys(t *testing.T) {
	m := open(t, pinPath(t))
	a, b, c := CookieKey{1}, CookieKey{2}, CookieKey{3}
	keys := func() (current, other bpf.DirectorCookieKey) {
		t.Helper()
		var s bpf.DirectorSetting
		if err := m.engine.Settings.Lookup(uint32(0), &s); err != nil {
			t.Fatal(err)
		}
		if s.ResetLimit != resetLimit {
			t.Errorf("the limit of resets is %d", s.ResetLimit)
		}
		return s.Keys[s.Current&1], s.Keys[1-s.Current&1]
	}
	for _, step := range []struct {
		name       string
		make, also CookieKey
	}{
		{"first", a, b}, {"again", a, b}, {"the next one becomes valid", a, c},
		{"and is made with", c, a}, {"the one before goes", c, b}, {"both are others", b, a},
	} {
		if err := m.SetKeys(step.make, step.also); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if current, other := keys(); current != cookieKey(step.make) || other != cookieKey(step.also) {
			t.Errorf("%s: keys %x and %x, want %x and %x", step.name, current, other, step.make, step.also)
		}
	}
	want := bpf.DirectorCookieKey{K0: 0x0102030405060708, K1: 0x090a0b0c0d0e0f10}
	if got := cookieKey(CookieKey{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}); got != want {
		t.Errorf("words %x, want %x", got, want)
	}
}
