/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_CONN_H
#define MAITRED_CONN_H

#include "parse.h"
#include "tables.h"
#include "way.h"

/*
 * Flows: how one is found, how long it lives, what a packet makes of it, and
 * what may be noted of a new one. See tables.h for why there are two tables.
 */

#define FRESH_WINDOW_NS 100000000ULL
/* Seconds after which a flow of so few packets, or none to come, is forgotten. */
#define NEW_TIMEOUT 30
#define RESET_TIMEOUT 10

static __always_inline bool is_syn(const struct packet *p)
{
	return (p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline __u32 flow_timeout(const struct forward_setting *s,
					  enum flow_state state)
{
	switch (state) {
	case FLOW_OPEN:
		return s->tcp_timeout;
	case FLOW_FIN:
		return s->fin_timeout;
	case FLOW_UDP:
		return s->udp_timeout;
	case FLOW_RESET:
		return RESET_TIMEOUT;
	case FLOW_NEW:
	case FLOW_PICKED:
		break;
	}
	return NEW_TIMEOUT;
}

/* Another CPU may have had a later packet; no timeout comes near to the wrap. */
#define AHEAD 60

static __always_inline bool
flow_lives(const struct flow *flow, const struct forward_setting *s, __u64 now)
{
	__u16 idle = seconds(now) - flow->seen;

	return idle <= flow_timeout(s, flow->state) || idle > 0xffff - AHEAD;
}

/* Whether so many seconds have gone since the last packet of a flow that lives. */
static __always_inline bool flow_waited(const struct flow *flow, __u64 now,
					__u16 least)
{
	__u16 idle = seconds(now) - flow->seen + AHEAD;

	return idle >= least + AHEAD;
}

/* The flow of a key, from whichever table, or NULL; nothing is changed by it. */
static __always_inline struct flow *flow_find(const struct flow_key *key,
					      const struct forward_setting *s,
					      __u64 now)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	if (!flow)
		flow = bpf_map_lookup_elem(&fresh, key);
	return flow && flow_lives(flow, s, now) ? flow : NULL;
}

/*
 * What a packet makes of the state of its flow, whichever end sent it. A FIN is
 * the beginning of the end; what follows a reset shows that it was forged or
 * came too late.
 */
static __always_inline enum flow_state flow_next(const struct packet *p,
						 enum flow_state now)
{
	if (p->protocol == IPPROTO_UDP)
		return FLOW_UDP;
	if (p->flags & TCP_RST)
		return FLOW_RESET;
	if (p->flags & TCP_FIN || now == FLOW_FIN)
		return FLOW_FIN;
	return p->flags & TCP_SYN ? now : FLOW_OPEN;
}

/* Written only where it differs: a line of the cache that all CPUs may keep. */
static __always_inline void flow_touch(struct flow *flow, enum flow_state state,
				       __u64 now)
{
	if (flow->state != state)
		flow->state = state;
	if (flow->seen != seconds(now))
		flow->seen = seconds(now);
}

/*
 * Whether this CPU may note one more fresh flow. What anyone can send with a
 * forged address gets half of the budget.
 */
static __always_inline bool may_note(const struct forward_setting *s, __u64 now,
				     bool first)
{
	__u32 limit = first ? s->fresh_limit / 2 : s->fresh_limit;
	__u64 window = now / FRESH_WINDOW_NS;
	__u32 zero = 0;
	struct budget *b = bpf_map_lookup_elem(&fresh_budget, &zero);

	if (!b)
		return false;
	if (b->window != window) {
		b->window = window;
		b->used = 0;
	}
	if (b->used >= limit)
		return false;
	b->used++;
	return true;
}

/* A flow that goes on is one that no flood may wash out. */
static __always_inline void flow_promote(const struct packet *p,
					 const struct flow_key *key,
					 const struct flow *flow)
{
	struct flow kept = *flow;

	if (p->protocol == IPPROTO_TCP && p->flags & (TCP_SYN | TCP_RST))
		return;
	if (!bpf_map_update_elem(&flows, key, &kept, BPF_ANY))
		bpf_map_delete_elem(&fresh, key);
}

/*
 * A server has been chosen for a new flow, whose packet does not get there yet:
 * XDP leaves it to tc, which must not take it for the flow's second.
 */
static __always_inline void flow_defer(const struct packet *p,
				       const struct way *w)
{
	struct flow_key key = { .port = p->sport, .service = w->service };
	struct flow *flow;

	__builtin_memcpy(key.client, p->saddr, sizeof(key.client));
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		flow = bpf_map_lookup_elem(&fresh, &key);
	if (flow)
		flow->state = FLOW_PICKED;
}

#endif
