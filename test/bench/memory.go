// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"

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

// memoryRows is how many rows a table has here: no power of two would be kinder.
const memoryRows = 1 << 20

// measureMemory makes a table of flows of the programs and fills it.
func measureMemory(table string) (m memory, err error) {
	m = memory{table: table, rows: memoryRows}
	spec, err := bpf.LoadDirector()
	if err != nil {
		return m, fmt.Errorf("read the programs of this build: %w", err)
	}
	want := spec.Maps[table]
	want.MaxEntries, want.Pinning = memoryRows, ebpf.PinNone
	keys, values := rowsFor(want)
	before, err := kernelMemory()
	if err != nil {
		return m, err
	}
	made, err := ebpf.NewMap(want)
	if err != nil {
		return m, fmt.Errorf("make the table %s: %w", table, err)
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	after, err := kernelMemory()
	if err != nil {
		return m, err
	}
	m.made = (after - before) / memoryRows
	if _, err := made.BatchUpdate(keys, values, nil); err != nil {
		return m, fmt.Errorf("fill the table %s: %w", table, err)
	}
	if after, err = kernelMemory(); err != nil {
		return m, err
	}
	m.filled = (after - before) / memoryRows
	info, err := made.Info()
	if err != nil {
		return m, err
	}
	bytes, _ := info.Memlock()
	m.account = float64(bytes) / memoryRows
	return m, nil
}

// rowsFor makes rows that are all different, for a map with such keys.
func rowsFor(spec *ebpf.MapSpec) (keys, values any) {
	if spec.Name == bpf.DirectorMapBindings {
		k := make([]bpf.DirectorBindingKey, memoryRows)
		for i := range k {
			k[i].Server.Address[3], k[i].Port = uint32(i), uint16(i)
		}
		return k, make([]bpf.DirectorBinding, memoryRows)
	}
	k := make([]bpf.DirectorFlowKey, memoryRows)
	for i := range k {
		k[i].Client[3], k[i].Port, k[i].Service = uint32(i), uint16(i), 1
	}
	return k, make([]bpf.DirectorFlow, memoryRows)
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
