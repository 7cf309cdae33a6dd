// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"strings"
	"testing"
)

func TestAlike(t *testing.T) {
	http := func(length, head int) Page {
		return Page{Response: []byte(strings.Repeat("x", length)), Head: head}
	}
	other := http(100, 80)
	other.Response[31] = 'y'
	later := http(100, 80)
	later.Response[32] = 'y'
	for _, tt := range []struct {
		name     string
		page     Page
		variants []Variant
		want     uint32
	}{
		{"no variants", http(100, 80), nil, 0},
		{"alike", http(100, 80), []Variant{{Page: http(64, 64)}, {Page: later}}, 32},
		{"no header", http(100, 0), []Variant{{Page: http(100, 0)}}, 32},
		{"a byte differs", http(100, 80), []Variant{{Page: http(100, 80)}, {Page: other}}, 0},
		{"short page", http(63, 63), []Variant{{Page: http(100, 80)}}, 0},
		{"short header", http(100, 63), []Variant{{Page: http(100, 80)}}, 0},
		{"short variant", http(100, 80), []Variant{{Page: http(63, 63)}}, 0},
		{"short header of a variant", http(100, 80), []Variant{{Page: http(100, 63)}}, 0},
		{"very short page", http(31, 31), []Variant{{Page: http(100, 80)}}, 0},
		{"tls", http(100, 80), []Variant{{Opening: OpeningTLS, Page: Page{Response: make([]byte, 35)}}}, 32},
		{"short tls", http(100, 80), []Variant{{Opening: OpeningTLS, Page: Page{Response: make([]byte, 7)}}}, 0},
	} {
		tt.page.Variants = tt.variants
		if got := tt.page.alike(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
