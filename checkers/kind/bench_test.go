// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"io"
	"net"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
)

// BenchmarkTCP runs bare connects against a listener on loopback, both on the
// same processors.
func BenchmarkTCP(b *testing.B) {
	server := serve(b, func(net.Conn) {})
	checker := mustTCP(b, Dialer{}.Dial)
	benchmark(b, func() checkers.Result { return checker.Check(b.Context(), server) })
}

// BenchmarkHTTP runs whole requests, each over a connection of its own.
func BenchmarkHTTP(b *testing.B) {
	server := serve(b, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, okHeader+"2\r\n\r\nOK")
	})
	checker := mustHTTP(b, Dialer{}.Dial, "http", m{"expect": m{"body": "OK"}})
	benchmark(b, func() checkers.Result { return checker.Check(b.Context(), server) })
}

// benchmark reports how many checks per second all processors do together.
func benchmark(b *testing.B, check func() checkers.Result) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if result := check(); result.Outcome != checkers.OutcomePass {
				b.Error(result.Message)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
}
