// SPDX-License-Identifier: Apache-2.0

package module

import (
	"testing"
)

// BenchmarkCalls is how many calls a second go through the host of a module that
// does nothing: the bar is 50000.
func BenchmarkCalls(b *testing.B) {
	s, _ := hosts(b)
	h := s.Host(spec(b, object(b, "examples/hello.c")))
	if _, err := ask(b, h, nil, long); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r, err := h.Call(b.Context(), at(), nil); err != nil || r.State != StatePass {
				b.Fatalf("got %+v, %v", r, err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
