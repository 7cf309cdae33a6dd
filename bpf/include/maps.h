/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_MAPS_H
#define MAITRED_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "types.h"
#include "verdict.h"

/* 4096 rows of 52 bytes and a bucket each: 0.5 MB. */
#define SERVICES_MAX 4096
/* Ids of rows begin with 1: 0 is what belongs to no service. */
#define IDS_MAX (SERVICES_MAX + 1)
/* Counters of a row: some are kept free, so that an upgrade finds its map. */
#define VERDICT_ROOM 48
/* Slot 0 stays empty. A page costs 194 KiB, only where there is one. */
#define PAGES_MAX 1024

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct endpoint);
	__type(value, struct service);
	__uint(max_entries, SERVICES_MAX);
} services SEC(".maps");

/*
 * The compiler describes what the values of an inner map are only if something
 * else names it, too.
 */
const struct page *const page_type;

struct page_slot {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct page);
	__uint(max_entries, 1);
};

/*
 * A page is an inner map, never changed once it is here: a new page is a new
 * map in another slot, and no client sees half of one and half of the other.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, PAGES_MAX);
	__array(values, struct page_slot);
} pages SEC(".maps");

/*
 * By slot, those that are taken. User space reads this and not pages: to look
 * up an inner map waits for all CPUs (18 ms on Linux 6.1), be there one or not.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct page_entry);
	__uint(max_entries, PAGES_MAX);
} page_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct setting);
	__uint(max_entries, 1);
} settings SEC(".maps");

/* By service id times VERDICT_ROOM plus verdict: 3.1 MB for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, IDS_MAX *VERDICT_ROOM);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct budget);
	__uint(max_entries, 1);
} resets SEC(".maps");

/*
 * What is said before a part of the page or of the client's own words. Of one
 * packet, and not on the stack, which has no room left; zero behind its end.
 */
#define LEAD_MAX 16

struct lead {
	__u8 bytes[LEAD_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct lead);
	__uint(max_entries, 1);
} leads SEC(".maps");

static __always_inline struct lead *the_lead(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&leads, &zero);
}

static __always_inline void count(__u32 id, enum verdict verdict, __u32 bytes)
{
	__u32 key = id * VERDICT_ROOM + verdict;
	struct counter *c = bpf_map_lookup_elem(&counters, &key);

	if (!c)
		return;
	c->packets++;
	c->bytes += bytes;
}

static __always_inline const struct page *page_at(__u32 slot)
{
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&pages, &slot);

	if (!inner)
		return NULL;
	return bpf_map_lookup_elem(inner, &zero);
}

#endif
