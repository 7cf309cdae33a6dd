// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"math/bits"
	"sort"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// What the kernel takes for a row of the tables of flows and of full NAT's way
// back, in bytes, and for each of a table's buckets, of which there are as many as
// of rows, rounded up to a power of two: htab_map_alloc of kernel/bpf/hashtab.c;
// struct flow and struct binding of bpf/include/types.h.
const (
	flowBytes    = 80
	bindingBytes = 96
	bucketBytes  = 16
)

func tableBytes(rows, each int) int {
	return rows*each + bucketBytes*buckets(rows)
}

func buckets(rows int) int { return 1 << bits.Len(uint(rows-1)) }

// tablesBytes is what all tables take that grow with the room for flows.
func tablesBytes(flows int, fullNAT bool) int {
	sum := tableBytes(flows, flowBytes) + tableBytes(maps.FreshRows(flows), flowBytes)
	if fullNAT {
		sum += tableBytes(flows, bindingBytes)
	}
	return sum
}

// tableSizes has the tables of flows fit the memory that they may take. Where
// more than a fifth of the buckets would stay empty for want of rows, the next
// smaller power of two costs less for each flow.
func tableSizes(cfg *config.Config, by config.Forwarding) maps.Options {
	if by != config.ForwardingEBPF {
		return maps.Options{}
	}
	o := maps.Options{Forwarding: true, FullNAT: len(cfg.Director.FullNAT.Sources) > 0}
	memory := int(cfg.Director.Connections.Memory)
	most := sort.Search(memory/flowBytes, func(n int) bool { return tablesBytes(n+1, o.FullNAT) > memory })
	if o.Flows = max(most, 1); 4*buckets(o.Flows) > 5*o.Flows {
		o.Flows = buckets(o.Flows) / 2
	}
	return o
}

// Room tells how many connections the engine's table has room for.
func Room(cfg *config.Config) int { return tableSizes(cfg, config.ForwardingEBPF).Flows }

// tableMemory is what the engine's tables take, in bytes.
func tableMemory(cfg *config.Config) uint64 {
	o := tableSizes(cfg, config.ForwardingEBPF)
	return uint64(tablesBytes(o.Flows, o.FullNAT))
}
