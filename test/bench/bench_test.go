// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/kernel"
)

const (
	folder = kernel.BPFFS + "/maitred-bench"
	room   = 1 << 18 // flows that there is room for
)

// set sets the stage for a mode, for as long as the benchmark runs.
func set(b *testing.B, m mode) *stage {
	b.Helper()
	s, err := newStage(folder, room)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := s.forward(m); err != nil {
		b.Fatal(err)
	}
	return s
}

// each runs f once for each mode on a stage of its own.
func each(b *testing.B, f func(b *testing.B, s *stage, m mode)) {
	for _, m := range modes() {
		b.Run(strings.ReplaceAll(m.String(), " ", "-"), func(b *testing.B) {
			b.ReportMetric(0, "ns/op") // of the whole, which says nothing
			f(b, set(b, m), m)
		})
	}
}

// BenchmarkPrograms tells how large the programs are.
func BenchmarkPrograms(b *testing.B) {
	kernel.RequireBPF(b)
	b.ReportMetric(0, "ns/op")
	set(b, modes()[0])
	t := newTable(os.Stdout, "The programs", "", "verified instructions", fmt.Sprintf("bar %d", barVerified), "bytes of machine code")
	for _, name := range []string{bpf.DirectorProgMaitredXdp, bpf.DirectorProgMaitredTc, bpf.DirectorProgMaitredProbe} {
		p, err := ebpf.LoadPinnedProgram(filepath.Join(folder, name), nil)
		if err != nil {
			b.Fatal(err)
		}
		info, err := p.Info()
		if err != nil {
			b.Fatal(err)
		}
		verified, _ := info.VerifiedInstructions()
		size, err := info.JitedSize()
		if err != nil {
			b.Fatal(err)
		}
		t.row(name, verified, verdict(verified <= barVerified), size)
		b.ReportMetric(float64(verified), name+"-instructions")
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
	t.end(os.Stdout)
}

// BenchmarkMemory tells what a flow costs.
func BenchmarkMemory(b *testing.B) {
	kernel.RequireBPF(b)
	b.ReportMetric(0, "ns/op")
	t := newTable(os.Stdout, "Memory, in bytes for each flow that there is room for",
		"", "rows", "by the kernel's account", "when made", "when full", fmt.Sprintf("bar %d", barMemory))
	// As many flows as 64 MiB are said to have room for, and a power of two.
	const usual, kindest = 64 << 20 / 108, 1 << 19
	for _, x := range []struct {
		name string
		rows uint32
	}{
		{bpf.DirectorMapFlows, usual}, {bpf.DirectorMapFresh, usual / 8}, {bpf.DirectorMapBindings, usual}, {bpf.DirectorMapFlows, kindest},
	} {
		m, err := measureMemory(x.name, x.rows)
		if err != nil {
			b.Fatal(err)
		}
		bar := ""
		if x.name != bpf.DirectorMapBindings {
			bar = verdict(m.filled <= barMemory)
		}
		t.row(x.name, m.rows, fmt.Sprintf("%.1f", m.account), fmt.Sprintf("%.1f", m.made), fmt.Sprintf("%.1f", m.filled), bar)
		b.ReportMetric(m.filled, fmt.Sprintf("%s-%d-bytes", x.name, x.rows))
	}
	t.note("Made and full: by how much VmallocUsed and Percpu of /proc/meminfo have grown; others on the machine may be in it.")
	t.note("A flow is in flows or in fresh, which has an eighth of the rows. Full NAT needs a binding besides. The kernel makes buckets by powers of two.")
	t.end(os.Stdout)
}

// BenchmarkCost tells what maitred's XDP program takes for a packet.
func BenchmarkCost(b *testing.B) {
	kernel.RequireBPF(b)
	if emulated() {
		b.Skip("nanoseconds of an emulated CPU say nothing")
	}
	var all []cost
	each(b, func(b *testing.B, s *stage, m mode) {
		c, err := s.cost(m)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, c)
		b.ReportMetric(float64(c.packet[hot]), "hot-ns")
		b.ReportMetric(float64(c.packet[many]), "many-ns")
	})
	printCosts(all)
}

func printCosts(all []cost) {
	t := newTable(os.Stdout, "maitred's XDP program, in nanoseconds for a packet over the floor",
		"", "hot flow", fmt.Sprintf("bar %d", barHot), fmt.Sprintf("%dk flows", manyFlows/1000), fmt.Sprintf("bar %d", barMany),
		"SYN", "SYN, flood", "first, no SYN", "answer", "floor")
	for _, c := range all {
		cells := []any{c.mode.String()}
		for kind := range kinds {
			if cells = append(cells, c.packet[kind].Nanoseconds()); c.failed[kind] != "" {
				cells[len(cells)-1] = c.failed[kind]
			}
			bar := map[int]int64{hot: barHot, many: barMany}[kind]
			if bar != 0 {
				cells = append(cells, verdict(c.packet[kind].Nanoseconds() <= bar && c.failed[kind] == ""))
			}
		}
		t.row(append(cells, c.floor.Nanoseconds())...)
	}
	t.note("Medians of %d runs of %d packets each. The floor swaps the MAC addresses and sends; its own column is over a program", trials, runs)
	t.note("that only returns. SYN and first are noted in the table of fresh flows, which is full; a flood's SYN is past the limit.")
	t.note("An answer is a server's, of the hot flow; where the modes have none that is known beforehand there is no figure.")
	t.note("Where an action stands, the program did not redirect: 1 drops, 2 leaves the packet to tc.")
	t.end(os.Stdout)
}

// BenchmarkDirectors compares whole directors: those of maitred, and IPVS where
// the kernel has it.
func BenchmarkDirectors(b *testing.B) {
	kernel.RequireBPF(b)
	kernel.AtLeast(b, 5, 18, "sending test packets from the XDP hook")
	has, err := kernel.HasIPVS()
	if err != nil {
		b.Fatal(err)
	}
	var floors result
	var all []result
	each(b, func(b *testing.B, s *stage, m mode) {
		if emulated() && (m.tunnel == maps.TunnelGUE || m.method == maps.MethodFullNAT) {
			b.Skip("it would take too long on an emulated CPU")
		}
		if len(all) == 0 {
			if floors, err = s.raceFloors(); err != nil {
				b.Fatal(err)
			}
		}
		ipvs := has && m.method != maps.MethodFullNAT
		if ipvs {
			if err := s.forwardIPVS(m); err != nil {
				b.Fatal(err)
			}
		}
		results, err := s.raceDirectors(m, ipvs)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, results...)
		for _, r := range results {
			for name, rate := range r.rate {
				b.ReportMetric(rate, strings.ReplaceAll(strings.TrimPrefix(r.what, m.String()+", ")+"-"+name+"-pps", " ", "-"))
			}
		}
	})
	printRaces(floors, all)
}

func printRaces(floors result, all []result) {
	t := newTable(os.Stdout, "Directors, in packets for each second of a CPU, in thousands",
		"", viaIPVS, "tc", "XDP", "tc/IPVS", fmt.Sprintf("bar %d", barRatio), "XDP/IPVS", fmt.Sprintf("bar %d", barRatio), "other work")
	for _, r := range all {
		cells := []any{r.what, r.cell(viaIPVS), r.cell(viaTC), r.cell(viaXDP)}
		for _, name := range []string{viaTC, viaXDP} {
			ratio, bar := "", ""
			if of := r.rate[viaIPVS]; of > 0 {
				ratio = fmt.Sprintf("%.1f", r.rate[name]/of)
				if r.barred {
					bar = verdict(r.rate[name]/of >= barRatio)
				}
			}
			cells = append(cells, ratio, bar)
		}
		others := fmt.Sprintf("%.1f", r.others)
		if emulated() {
			others = "-" // ticks get lost
		}
		t.row(append(cells, others)...)
	}
	for _, name := range floors.names {
		t.note("%-28s %s", name+":", floors.cell(name))
	}
	t.note("Medians of %d rounds in turn of %v each, over one network of veths, with all there is to a packet: it is made at the director's", rounds, leg)
	t.note("interface as a driver does (BPF_PROG_RUN, live frames), directed, and counted and dropped by XDP at the server. Without a director")
	t.note("there are %dk flows. Other work: CPUs busy with something else meanwhile. A share in brackets is of packets that arrived.", manyFlows/1000)
	if emulated() {
		t.note("The CPU is emulated: its seconds are as long as the host lets them be, and only ratios tell anything.")
	}
	t.end(os.Stdout)
}
