/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_TABLES_H
#define MAITRED_TABLES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

/*
 * The maps of forwarding. Where maitred leaves that to others they are made
 * with one row each, but for those of a fixed size.
 */

/* 80 bytes each: 1.3 MB. Row 0 is nobody's. */
#define SERVERS_MAX 16384
/* User space says how many there are to be: see struct flow for the price. */
#define FLOWS_DEFAULT 524288

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct server);
	__uint(max_entries, SERVERS_MAX);
} servers SEC(".maps");

/* 64 bytes each: 1 MB for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct tally);
	__uint(max_entries, SERVERS_MAX);
} tallies SEC(".maps");

/* 32 bytes each: 0.5 MB for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct route);
	__uint(max_entries, SERVERS_MAX);
} routes SEC(".maps");

/* By the id of a service's row: 0.2 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct forward);
	__uint(max_entries, IDS_MAX);
} forwards SEC(".maps");

/* Whose turn it is; apart from forwards, which every packet reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, IDS_MAX);
} turns SEC(".maps");

/*
 * When a flow to a service by NAT last went unnoted, in nanoseconds since boot:
 * for a while after it answers without a flow may be of such.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, IDS_MAX);
} unnoted SEC(".maps");

/* The flag lets rings differ in size (kernel/bpf/arraymap.c, Linux 5.10). */
struct ring {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, __u16[RING_PART]);
	__uint(max_entries, 1);
};

/*
 * By the id of a service's row. A ring is never changed once it is here: new
 * ones take its place whole. 2 bytes for each slot.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, IDS_MAX);
	__array(values, struct ring);
} rings SEC(".maps");

/* The row of the server in a slot of a service's ring; 0 where there is none. */
static __always_inline __u32 ring_at(__u32 id, __u32 slot)
{
	void *ring = bpf_map_lookup_elem(&rings, &id);
	__u32 key = slot / RING_PART;
	__u16 *part;

	if (!ring)
		return 0;
	part = bpf_map_lookup_elem(ring, &key);
	return part ? part[slot % RING_PART] : 0;
}

/*
 * A flow is noted in fresh with its first packet and moves to flows with its
 * next: a flood of senders that never say more washes out what is fresh, and no
 * flow that goes on. Beyond its budget nothing is noted and a hash decides.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct flow);
	__uint(max_entries, FLOWS_DEFAULT);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow_key);
	__type(value, struct flow);
	__uint(max_entries, FLOWS_DEFAULT / 8);
} fresh SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct budget);
	__uint(max_entries, 1);
} fresh_budget SEC(".maps");

/* 112 bytes each, beside those of the flow: full NAT alone fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct binding_key);
	__type(value, struct binding);
	__uint(max_entries, FLOWS_DEFAULT);
} bindings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint);
	__type(value, struct back);
	__uint(max_entries, SERVERS_MAX);
} backs SEC(".maps");

/* 128 bytes each: 2 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct fragment_key);
	__type(value, struct fragment_way);
	__uint(max_entries, 16384);
} fragments SEC(".maps");

/*
 * By both ends: who sends an error to a service's address knows nothing of what
 * the director sends to a server from its own.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct path);
	__type(value, struct path_mtu);
	__uint(max_entries, SERVERS_MAX);
} path_mtus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct device);
	__uint(max_entries, 1024);
} devices SEC(".maps");

/* By the mark of a check's packets, the row of the server that it asks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, SERVERS_MAX);
} marks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct forward_setting);
	__uint(max_entries, 1);
} forwarding SEC(".maps");

#endif
