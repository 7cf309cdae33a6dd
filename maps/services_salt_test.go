// SPDX-License-Identifier: Apache-2.0

package maps

import "testing"

func TestSalt(t *testing.T) {
	for _, tt := range []struct {
		name          string
		page          PageID
		former, other uint32
		want          uint32
	}{
		{"first page", 0x1122334455667788, 0, 0, 0x55667788},
		{"first page, like an empty place", 0x1122334400000001, 0, 0, 1},
		{"another page", 0x1122334455667788, 7, 0x12345678, 0x55667788},
		{"high bits alike", 0x1122334455667788, 7, 0x55600000, ^uint32(0x55667788)},
		{"one high bit differs", 0x1122334455667788, 7, 0x55600000 ^ 1<<19, 0x55667788},
	} {
		if got := salt(tt.page, tt.former, tt.other); got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
}
