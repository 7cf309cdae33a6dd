// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// memory is what a table of flows takes, in bytes for each that there is room for.
type memory struct {
	table   string
	rows    uint32
	account float64 // as the kernel accounts for the map
	made    float64 // as /proc/meminfo grew when the map was made
	filled  float64 // and once it was full
}

// measureMemory makes a table of flows of the programs and fills it, several
// times: the medians are free of most that others on the machine do.
func measureMemory(table string, rows uint32) (m memory, err error) {
	m = memory{table: table, rows: rows}
	spec, err := bpf.LoadDirector()
	if err != nil {
		return m, fmt.Errorf("read the programs of this build: %w", err)
	}
	want := spec.Maps[table]
	want.MaxEntries, want.Pinning = rows, ebpf.PinNone
	var made, filled []float64
	for range trials {
		a, b, err := m.fill(want)
		if err != nil {
			return m, fmt.Errorf("fill a table %s: %w", table, err)
		}
		made, filled = append(made, a/float64(rows)), append(filled, b/float64(rows))
	}
	m.made, m.filled = median(made), median(filled)
	return m, nil
}

// fill tells how much memory the table took when it was made, and when full.
func (m *memory) fill(want *ebpf.MapSpec) (made, filled float64, err error) {
	keys, values := rowsFor(want)
	before, err := settled()
	if err != nil {
		return 0, 0, err
	}
	table, err := ebpf.NewMap(want)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	between, err := kernelMemory()
	if err != nil {
		return 0, 0, err
	}
	if _, err := table.BatchUpdate(keys, values, nil); err != nil {
		return 0, 0, err
	}
	after, err := kernelMemory()
	if err != nil {
		return 0, 0, err
	}
	info, err := table.Info()
	if err != nil {
		return 0, 0, err
	}
	bytes, _ := info.Memlock()
	m.account = float64(bytes) / float64(m.rows)
	return between - before, after - before, nil
}

// rowsFor makes rows that are all different, for a map with such keys.
func rowsFor(spec *ebpf.MapSpec) (keys, values any) {
	if spec.Name == bpf.DirectorMapBindings {
		k := make([]bpf.DirectorBindingKey, spec.MaxEntries)
		for i := range k {
			k[i].Server.Address[3], k[i].Port = uint32(i), uint16(i)
		}
		return k, make([]bpf.DirectorBinding, spec.MaxEntries)
	}
	k := make([]bpf.DirectorFlowKey, spec.MaxEntries)
	for i := range k {
		k[i].Client[3], k[i].Port, k[i].Service = uint32(i), uint16(i), 1
	}
	return k, make([]bpf.DirectorFlow, spec.MaxEntries)
}

// settled is kernelMemory once it stays the same for a while: the kernel frees
// what was closed before at its leisure. It gives up where others are never still.
func settled() (now float64, err error) {
	const pause, still, patience = 50 * time.Millisecond, 5, 60
	for same, i := 0, 0; same < still && i < patience; i++ {
		before := now
		if now, err = kernelMemory(); err != nil {
			return 0, err
		}
		if same++; now != before {
			same = 0
		}
		time.Sleep(pause)
	}
	return now, nil
}

// kernelMemory is what the kernel has of the kinds that maps are made of, in
// bytes (proc_meminfo(5)).
func kernelMemory() (float64, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var sum float64
	kinds := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		for _, kind := range []string{"VmallocUsed", "Percpu"} {
			var kib float64
			if _, err := fmt.Sscanf(lines.Text(), kind+": %f kB", &kib); err == nil {
				sum += kib * 1024
				kinds++
			}
		}
	}
	if lines.Err() != nil || kinds != 2 {
		return 0, errors.Join(errors.New("/proc/meminfo does not tell VmallocUsed and Percpu"), lines.Err())
	}
	return sum, nil
}
