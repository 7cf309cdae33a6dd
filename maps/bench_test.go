// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"os"
	"testing"

	"github.com/maitred-lb/maitred/bpf"
	"github.com/maitred-lb/maitred/test/kernel"
)

// BenchmarkTables reads and sweeps 500,000 flows, and what is read at each start.
func BenchmarkTables(b *testing.B) {
	kernel.RequireBPF(b)
	const path, flows = "/sys/fs/bpf/maitred-bench", 500000
	o := Options{Forwarding: true, Flows: 600000}
	m, err := Open(path, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Withdraw(); _ = m.Close(); _ = os.RemoveAll(path) })
	id := serverID(1, MethodDR)
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	check(m.PutServer(id, Server{State: ServerUp}))
	check(m.SetForwarding(times))
	check(m.PutForward(keyA, Forward{Ring: ringOfAll(1, 8, id)}))
	fill := func(ago uint16) {
		now, err := clock()
		check(err)
		keys, values := make([]bpf.DirectorFlowKey, flows), make([]bpf.DirectorFlow, flows)
		for i := range keys {
			keys[i] = bpf.DirectorFlowKey{Client: [4]uint32{uint32(i)}, Port: uint16(i), Service: uint16(m.ids[keyA])}
			values[i] = bpf.DirectorFlow{Server: m.rowOf[id], State: bpf.DirectorFlowStateFLOW_OPEN, Seen: now - ago}
		}
		_, err = m.engine.Flows.BatchUpdate(keys, values, nil)
		check(err)
	}
	fill(0)
	b.Run("sweep", func(b *testing.B) {
		for b.Loop() {
			c, err := m.Sweep()
			check(err)
			b.ReportMetric(float64(c.Total), "flows")
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			n := 0
			check(m.Flows(func(Flow) bool { n++; return true }))
			b.ReportMetric(float64(n), "flows")
		}
	})
	b.Run("sweep-all-away", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			fill(1000)
			b.StartTimer()
			c, err := m.Sweep()
			check(err)
			b.ReportMetric(float64(c.Removed), "flows")
		}
	})
	b.Run("sweep-empty", func(b *testing.B) {
		for b.Loop() {
			_, err := m.Sweep()
			check(err)
		}
	})
	b.Run("servers", func(b *testing.B) {
		for b.Loop() {
			_, err := m.Servers()
			check(err)
		}
	})
	b.Run("tallies", func(b *testing.B) {
		for b.Loop() {
			_, err := m.Tallies()
			check(err)
		}
	})
}
