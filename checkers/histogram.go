// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"math"
	"math/bits"
	"time"
)

// Histogram counts durations in buckets whose bounds double: up to 10 µs, 20 µs,
// 40 µs and so on. The last one takes what is longer than 42 s. It is a value.
type Histogram struct {
	Counts [histogramBuckets]uint64
	Count  uint64
	Sum    time.Duration
	Max    time.Duration
}

const (
	histogramBuckets = 24
	histogramFirst   = 10 * time.Microsecond
)

// Bound is the upper bound of bucket i, inclusive; the last has none and gives
// the longest duration that there is.
func (h *Histogram) Bound(i int) time.Duration {
	if i >= histogramBuckets-1 {
		return math.MaxInt64
	}
	return histogramFirst << i
}

// Observe counts one duration; a negative one counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	if d > 0 {
		i = bits.Len64(uint64((d - 1) / histogramFirst))
	}
	h.Counts[min(i, histogramBuckets-1)]++
	h.Count++
	h.Sum += d
	h.Max = max(h.Max, d)
}

// Quantile is the duration that the share q of all does not exceed (q from 0 to
// 1), rounded up to a bucket's bound but never above the longest seen. It is
// zero where nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count)))
	var seen uint64
	for i, n := range h.Counts {
		seen += n
		if n > 0 && seen >= rank {
			return min(h.Bound(i), h.Max)
		}
	}
	return h.Max
}

// add counts all that other has counted.
func (h *Histogram) add(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Count += other.Count
	h.Sum += other.Sum
	h.Max = max(h.Max, other.Max)
}
