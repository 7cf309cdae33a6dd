/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_BURST_H
#define MAITRED_BURST_H

#include "tcp.h"

/*
 * Several segments at once, by tc: XDP has one frame for one. An acknowledgement
 * of an offset where a block of them begins would bring the block again each time
 * that it comes, and every segment that comes twice brings an acknowledgement:
 * so blocks that were sent lately are remembered, by the number that asked for
 * them, which no two exchanges share but by chance. A number that is forgotten,
 * since another has taken its place, brings its block once more.
 */
#define BURSTS 4096
#define BURST_AGE_MS 100 /* less than any client's retransmission timer */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64); /* milliseconds since boot << 32 | number */
	__uint(max_entries, BURSTS);
} bursts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct budget);
	__uint(max_entries, 1);
} deferrals SEC(".maps");

enum burst_fate {
	BURST_SEND,
	BURST_RECENT, /* it is on its way */
	BURST_DEFER, /* tc is to send it */
	BURST_DENY, /* XDP has had tc send enough of them */
};

/*
 * What a CPU leaves to tc in a window of time: what is more gets its pages by one
 * segment for each acknowledgement, which XDP sends.
 */
#define DEFER_LIMIT 1000
#define DEFER_WINDOW_MS 100

static __always_inline bool may_defer(__u32 now)
{
	__u32 zero = 0;
	struct budget *b = bpf_map_lookup_elem(&deferrals, &zero);

	if (!b)
		return false;
	if (b->window != now / DEFER_WINDOW_MS) {
		b->window = now / DEFER_WINDOW_MS;
		b->used = 0;
	}
	if (b->used >= DEFER_LIMIT)
		return false;
	b->used++;
	return true;
}

static __always_inline enum burst_fate burst_fate(const struct packet *p,
						  bool xdp)
{
	__u32 now = bpf_ktime_get_coarse_ns() / 1000000;
	__u32 key = p->ack % BURSTS;
	__u64 *sent = bpf_map_lookup_elem(&bursts, &key);

	if (!sent)
		return BURST_DENY;
	if ((__u32)*sent == p->ack && now - (__u32)(*sent >> 32) < BURST_AGE_MS)
		return BURST_RECENT;
	if (xdp)
		return may_defer(now) ? BURST_DEFER : BURST_DENY;
	*sent = (__u64)now << 32 | p->ack;
	return BURST_SEND;
}

/* Makes the reply the last of its burst, if it is. */
static __always_inline bool burst_last(struct reply *r)
{
	bool last = r->offset + r->length >= r->end;

	if (last && r->fin)
		r->flags |= TCP_FIN;
	return last;
}

/* Makes the reply the next one: what it is written over is an answer already. */
static __always_inline void burst_next(struct packet *p, struct reply *r)
{
	__u32 rest;

	r->seq += r->length;
	r->offset += r->length;
	rest = r->end - r->offset;
	r->length = rest < r->size ? rest : r->size;
	r->again = true;
	p->l4 = p->l3 + (p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
}

#endif
