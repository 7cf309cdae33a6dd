// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/bpf"
)

// maxSources is how many addresses of each family full NAT may have: half of
// SOURCES_MAX of bpf/include/types.h.
const maxSources = len(bpf.DirectorForwardSetting{}.Source) / 2

// maxTimeout is less than half of what the 16 bits of a flow's clock can tell.
const maxTimeout = 32767 * time.Second

// Forwarding reads the settings of forwarding; all is zero before they are set.
func (m *Maps) Forwarding() (Setting, error) {
	row, err := m.forwarding()
	if err != nil {
		return Setting{}, err
	}
	s := Setting{
		PortFirst: row.PortFirst,
		PortLast:  row.PortLast,
		TCP:       time.Duration(row.TcpTimeout) * time.Second,
		FIN:       time.Duration(row.FinTimeout) * time.Second,
		UDP:       time.Duration(row.UdpTimeout) * time.Second,
		Probes:    row.Probes == 1,
	}
	for i, words := range row.Source {
		if i < int(row.Sources4) || i >= maxSources && i < maxSources+int(row.Sources6) {
			s.Sources = append(s.Sources, addrFrom(words))
		}
	}
	slices.SortFunc(s.Sources, netip.Addr.Compare)
	return s, nil
}

func (m *Maps) forwarding() (row bpf.DirectorForwardSetting, err error) {
	if err := m.engine.Forwarding.Lookup(uint32(0), &row); err != nil {
		return row, fmt.Errorf("read the settings of forwarding: %w", err)
	}
	return row, nil
}

// SetForwarding writes the settings of forwarding. Flows know full NAT's
// addresses by their places, so one that stays keeps its own if it can.
func (m *Maps) SetForwarding(s Setting) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, err := m.forwarding()
	if err != nil {
		return err
	}
	if s.PortFirst > s.PortLast {
		return fmt.Errorf("set forwarding: ports %d to %d are none", s.PortFirst, s.PortLast)
	}
	if max(s.TCP, s.FIN, s.UDP) > maxTimeout || min(s.TCP, s.FIN, s.UDP) < time.Second {
		return fmt.Errorf("set forwarding: idle times of %s, %s and %s: 1 s to %s are possible", s.TCP, s.FIN, s.UDP, maxTimeout)
	}
	if err := placeSources(&row, s.Sources); err != nil {
		return fmt.Errorf("set forwarding: %w", err)
	}
	row.PortFirst, row.PortLast = s.PortFirst, s.PortLast
	row.TcpTimeout, row.FinTimeout, row.UdpTimeout = seconds(s.TCP), seconds(s.FIN), seconds(s.UDP)
	row.Probes = 0
	if s.Probes {
		row.Probes = 1
	}
	if err := m.putForwarding(row); err != nil {
		return fmt.Errorf("set forwarding: %w", err)
	}
	return nil
}

// putForwarding writes the settings, with the limit that the table of fresh flows
// has now.
func (m *Maps) putForwarding(row bpf.DirectorForwardSetting) error {
	cpus, err := onlineCPUs()
	if err != nil {
		return err
	}
	row.FreshLimit = freshLimit(m.engine.Fresh.MaxEntries(), cpus)
	return m.engine.Forwarding.Put(uint32(0), row)
}

// adoptLimit fits settings that are there to a table of another size, or to CPUs
// that were not there before.
func (m *Maps) adoptLimit() error {
	row, err := m.forwarding()
	if err != nil || row.FreshLimit == 0 {
		return err
	}
	if err := m.putForwarding(row); err != nil {
		return fmt.Errorf("limit fresh flows: %w", err)
	}
	return nil
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

func placeSources(row *bpf.DirectorForwardSetting, sources []netip.Addr) error {
	var v4, v6 [][4]uint32
	for _, a := range sources {
		a = a.WithZone("").Unmap()
		family := &v6
		if a.Is4() {
			family = &v4
		}
		if !a.IsValid() || a.IsUnspecified() {
			return fmt.Errorf("%s is no address to send from", a)
		}
		if words := addrTo(a); !slices.Contains(*family, words) {
			*family = append(*family, words)
		}
	}
	if len(v4) > maxSources || len(v6) > maxSources {
		return fmt.Errorf("%d and %d addresses of full NAT: %d of each family are possible", len(v4), len(v6), maxSources)
	}
	place(row.Source[:maxSources], v4)
	place(row.Source[maxSources:], v6)
	row.Sources4, row.Sources6 = uint32(len(v4)), uint32(len(v6))
	return nil
}

// place fills the first places with what is wanted, and leaves alone what is in
// one of them already.
func place(places, want [][4]uint32) {
	there := map[[4]uint32]bool{}
	var free []int
	for i, words := range places {
		switch {
		case i >= len(want):
			places[i] = [4]uint32{}
		case slices.Contains(want, words) && !there[words]:
			there[words] = true
		default:
			free = append(free, i)
		}
	}
	for _, words := range want {
		if !there[words] {
			places[free[0]], free = words, free[1:]
		}
	}
}

// What a flood makes of fresh flows must leave each of them there so long that
// its client's next packet, even one sent again, still finds it.
const freshLife, freshWindow = 3 * time.Second, 100 * time.Millisecond

// freshLimit is how many flows a CPU may note in a window (FRESH_WINDOW_NS of
// bpf/include) so that all of them together fill the table in freshLife.
func freshLimit(rows uint32, cpus int) uint32 {
	return max(1, rows/uint32(freshLife/freshWindow)/uint32(cpus))
}

// onlineCPUs counts those that run: there may be many more possible ones.
func onlineCPUs() (int, error) {
	const path = "/sys/devices/system/cpu/online"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("count the CPUs: %w", err)
	}
	n, err := countCPUs(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("count the CPUs: %s: %w", path, err)
	}
	return n, nil
}

// countCPUs reads a list such as 0-3,7 (Documentation/admin-guide/cputopology.rst).
func countCPUs(list string) (n int, err error) {
	for span := range strings.SplitSeq(list, ",") {
		first, last, ok := strings.Cut(span, "-")
		if !ok {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return 0, err
		}
		b, err := strconv.ParseUint(last, 10, 16)
		if err != nil {
			return 0, err
		}
		if b < a {
			return 0, fmt.Errorf("the span %q ends before it begins", span)
		}
		n += int(b-a) + 1
	}
	return n, nil
}
