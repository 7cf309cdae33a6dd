// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

func TestDidYouMean(t *testing.T) {
	words := []string{"wlc", "wrr", "rr", "interval", "fast_interval", "interfaces"}
	for word, want := range map[string]string{
		"wlcc":                    "wlc",
		"WLC":                     "wlc",
		"wcl":                     "wlc",
		"interfaecs":              "interfaces",
		"intervall":               "interval",
		"fastinterval":            "fast_interval",
		"r":                       "rr",
		"lc":                      "wlc",
		"elephant":                "",
		"":                        "",
		"xx":                      "",
		strings.Repeat("wlc", 99): "",
	} {
		hint := DidYouMean(word, words)
		if want != "" {
			want = " (did you mean " + want + "?)"
		}
		if hint != want {
			t.Errorf("%q: %q, want %q", word, hint, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3},
		{"ca", "abc", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q is %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
