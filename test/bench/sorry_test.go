// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/test/kernel"
)

// BenchmarkSorry tells what an exchange with a sorry page takes, packet by packet.
func BenchmarkSorry(b *testing.B) {
	kernel.RequireBPF(b)
	if emulated() {
		b.Skip("nanoseconds of an emulated CPU say nothing")
	}
	b.ReportMetric(0, "ns/op")
	s := set(b, modes()[0])
	t := newTable(os.Stdout, "The sorry page, in nanoseconds for a packet over a program that does nothing",
		"", "XDP", "bar", "", "tc", "swap by XDP", "swap by tc")
	for _, v6 := range []bool{false, true} {
		for _, x := range steps() {
			var all [2]sorryCost
			for i, h := range []hook{atXDP, atTC} {
				var err error
				if all[i], err = s.sorryCost(h, x, v6); err != nil {
					b.Fatal(err)
				}
			}
			bar, met := "", ""
			if x.bar > 0 {
				bar, met = fmt.Sprint(x.bar), verdict(all[0].took.Nanoseconds() <= x.bar)
			}
			t.row(family(v6)+" "+x.name, all[0].took.Nanoseconds(), bar, met, all[1].took.Nanoseconds(),
				all[0].floor.Nanoseconds(), all[1].floor.Nanoseconds())
		}
	}
	t.note("Medians of %d rounds in turn of %d packets each. The swap of the MAC addresses is the least that an answer takes.", trials, runs)
	t.end(os.Stdout)
}

// BenchmarkSorryRate compares how many packets come back from maitred and from a
// program that only swaps the MAC addresses.
func BenchmarkSorryRate(b *testing.B) {
	kernel.RequireBPF(b)
	kernel.AtLeast(b, 5, 18, "sending test packets from the XDP hook")
	b.ReportMetric(0, "ns/op")
	s := set(b, modes()[0])
	ways, err := s.live()
	if err != nil {
		b.Fatal(err)
	}
	t := newTable(os.Stdout, "The sorry page, in answers for each second of a CPU, in thousands",
		"", viaSwap, "maitred", "ratio", fmt.Sprintf("bar %.1f", barLive), "other work")
	for _, v6 := range []bool{false, true} {
		for _, x := range steps() {
			if x.silent {
				continue
			}
			r, err := s.raceSorry(x, v6, ways)
			if err != nil {
				b.Fatal(err)
			}
			ratio := r.rate[viaXDP] / r.rate[viaSwap]
			t.row(family(v6)+" "+x.name, r.cell(viaSwap), r.cell(viaXDP), fmt.Sprintf("%.2f", ratio), verdict(ratio >= barLive),
				fmt.Sprintf("%.1f", r.others))
		}
	}
	t.note("Medians of %d rounds in turn of %v each. All that there is to a packet is in it: it is made (BPF_PROG_RUN, live", rounds, leg)
	t.note("frames) and sent through a veth, answered there by XDP_TX, and dropped and counted where it began.")
	t.end(os.Stdout)
}

// BenchmarkSorryExchange compares what a whole exchange takes with that of a web
// server.
func BenchmarkSorryExchange(b *testing.B) {
	kernel.RequireBPF(b)
	if emulated() {
		b.Skip("a web server would take too long on an emulated CPU")
	}
	for _, program := range []string{"nginx", "wrk"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op")
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	r, err := newRivals(ctx, folder, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}()
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Fatal(err)
	}
	defer stats.Close()
	if err := r.readClock(); err != nil {
		b.Fatal(err)
	}
	printExchanges(ctx, b, r)
}

func printExchanges(ctx context.Context, b *testing.B, r *rivals) {
	b.Helper()
	var all, own [2][]time.Duration
	for range rounds {
		for i := range all {
			v, err := r.visit(ctx, i == 1)
			if err != nil {
				b.Fatal(err)
			}
			all[i] = append(all[i], v.each())
			own[i] = append(own[i], v.server/time.Duration(v.exchanges))
		}
	}
	maitred, nginx, programs := median(all[0]), median(all[1]), median(own[0])
	client := maitred - programs
	ratio := float64(nginx-client) / float64(programs)
	t := newTable(os.Stdout, "A whole exchange with a page of 300 bytes, in nanoseconds of a CPU",
		"", "both ends", "the client", "the server", "ratio", fmt.Sprintf("bar %d", barExchange))
	t.row("maitred", maitred.Nanoseconds(), client.Nanoseconds(), programs.Nanoseconds(), "", "")
	t.row("nginx, return 502", nginx.Nanoseconds(), client.Nanoseconds(), (nginx - client).Nanoseconds(), fmt.Sprintf("%.0f", ratio), verdict(ratio >= barExchange))
	t.note("Medians of %d rounds in turn of 2 s by wrk with 32 connections, over veths. The server is maitred's programs, as the kernel counts", rounds)
	t.note("their time (less %v a run for the counting); the client is all the rest, veths and all, taken to be the same with nginx. A veth", r.clock)
	t.note("has no room for a longer answer: what XDP has begun tc does again.")
	t.end(os.Stdout)
}
