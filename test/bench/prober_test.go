// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/kind"
)

// proberEnv has this program run checks, and nothing else, in a process of its own.
const proberEnv = "MAITRED_BENCH_PROBER"

func TestMain(m *testing.M) {
	order := os.Getenv(proberEnv)
	if order == "" {
		os.Exit(m.Run())
	}
	if err := prober(order); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// prober does as testdata/epoll.c does when it checks, by maitred's scheduler and
// its kinds of checks. Its order is the other's arguments.
func prober(order string) error {
	var name string
	var port, targets, interval, lasts int
	if _, err := fmt.Sscan(order, &name, &port, &targets, &interval, &lasts); err != nil {
		return fmt.Errorf("read the order %q: %w", order, err)
	}
	row, ok := kind.NewTable(kind.Env{}).Lookup(name)
	if !ok {
		return fmt.Errorf("there is no check %s", name)
	}
	check, err := row.New(nil)
	if err != nil {
		return err
	}
	every := time.Duration(interval) * time.Millisecond
	timing := checkers.Timing{Interval: every, FastInterval: every, Timeout: time.Second, Rise: 2, Fall: 3}
	probes := make([]checkers.Probe, 0, targets)
	for i := range targets {
		var host [4]byte
		binary.BigEndian.PutUint32(host[:], 0x7f010000+uint32(i))
		target := netip.AddrPortFrom(netip.AddrFrom4(host), uint16(port))
		probes = append(probes, checkers.Probe{Key: checkers.Key{Check: name, Target: target}, Checker: check, Timing: timing})
	}
	s := checkers.NewScheduler(checkers.Options{Seed: "bench"})
	s.Set(probes)
	warm := min(time.Duration(targets)*time.Millisecond, 10*time.Second) + every // the first runs are spread
	ctx, cancel := context.WithTimeout(context.Background(), warm+time.Duration(lasts)*time.Second)
	defer cancel()
	time.AfterFunc(warm, func() { fmt.Println("warm") })
	if err := s.Run(ctx); err != nil {
		return err
	}
	stats := s.Stats()
	failures := uint64(0)
	for _, r := range stats.Runs {
		if r.Outcome != checkers.OutcomePass {
			failures += r.Count
			fmt.Fprintf(os.Stderr, "%d of class %s\n", r.Count, r.Class)
		}
	}
	late := stats.Lateness
	fmt.Printf("%d %d %d %d\n", failures, late.Quantile(0.5).Microseconds(), late.Quantile(0.99).Microseconds(), late.Max.Microseconds())
	return nil
}

// usage is the CPU time of a process so far, and the most memory that it had.
func usage(pid int) (cpu time.Duration, rss int64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	const userField, hertz = 11, 100 // of proc(5), counted from the state; USER_HZ
	var user, system int64
	if _, err := fmt.Sscan(fields[userField]+" "+fields[userField+1], &user, &system); err != nil {
		return 0, 0, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &rss); err != nil {
		return 0, 0, err
	}
	return time.Duration(user+system) * time.Second / hertz, rss << 10, nil
}

// opened counts the connections that were accepted in this network namespace.
func opened() (int64, error) {
	text, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		return 0, err
	}
	var n int64
	for line := range strings.Lines(string(text)) {
		const passiveOpens = 6
		if fields := strings.Fields(line); fields[0] == "Tcp:" && fields[1] != "RtoAlgorithm" {
			_, err = fmt.Sscan(fields[passiveOpens], &n)
		}
	}
	return n, err
}
