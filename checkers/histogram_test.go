// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	tests := []struct {
		d      time.Duration
		bucket int
	}{
		{-time.Second, 0},
		{0, 0},
		{10 * time.Microsecond, 0},
		{10*time.Microsecond + 1, 1},
		{20 * time.Microsecond, 1},
		{20*time.Microsecond + 1, 2},
		{40 * time.Second, 22},
		{time.Hour, 23},
	}
	for _, test := range tests {
		t.Run(test.d.String(), func(t *testing.T) {
			var h Histogram
			h.Observe(test.d)
			if h.Counts[test.bucket] != 1 {
				t.Errorf("not in bucket %d: %v", test.bucket, h.Counts)
			}
			if d := max(test.d, 0); d > h.Bound(test.bucket) || test.bucket > 0 && d <= h.Bound(test.bucket-1) {
				t.Errorf("%v is outside the bounds of bucket %d", d, test.bucket)
			}
		})
	}
}

func TestHistogramQuantile(t *testing.T) {
	var h, other Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("empty: got %v", got)
	}
	for range 98 {
		h.Observe(15 * time.Microsecond)
	}
	other.Observe(3 * time.Millisecond)
	other.Observe(7 * time.Millisecond)
	h.add(&other)
	tests := []struct {
		q    float64
		want time.Duration
	}{
		{0, 20 * time.Microsecond},
		{0.5, 20 * time.Microsecond},
		{0.98, 20 * time.Microsecond},
		{0.99, 5120 * time.Microsecond},
		{1, 7 * time.Millisecond}, // the longest seen, below its bucket's bound
	}
	for _, test := range tests {
		if got := h.Quantile(test.q); got != test.want {
			t.Errorf("quantile %v: got %v, want %v", test.q, got, test.want)
		}
	}
	if want := 98*15*time.Microsecond + 10*time.Millisecond; h.Count != 100 || h.Sum != want {
		t.Errorf("got %d in %v, want 100 in %v", h.Count, h.Sum, want)
	}
}
