/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_TRAIL_H
#define MAITRED_TRAIL_H

#include "bind.h"

/* Of which flow a server's packet is: where NAT's way back begins. */

/* What the way back has to know of a flow. */
static __always_inline void follow(const struct packet *p, struct way *w,
				   __u32 service, const struct flow *flow)
{
	w->service = service;
	w->server = flow->server;
	w->opens = flow->state == FLOW_NEW || flow->state == FLOW_PICKED;
	w->touch = flow->seen != seconds(w->now) ||
		   flow->state != flow_next(p, flow->state);
}

enum trace {
	TRACE_NONE = 0, /* the client has no flow to the service */
	TRACE_OTHER = 1, /* it has one, to another server */
	TRACE_OVER = 2, /* to this one, and an end has hung up */
	TRACE_FOUND = 4,
};

/* Looks for a flow of NAT by a gateway, from the packet's client to a service. */
__noinline enum trace trace(const struct packet *p, struct way *w,
			    __u32 service)
{
	struct flow_key key = { .service = service };
	__u32 zero = 0, row;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);
	const struct server *s;
	const struct flow *flow;

	if (!p || !w || !set)
		return TRACE_NONE;
	copy_address(key.client, p->daddr);
	key.port = p->dport;
	flow = flow_find(&key, set, w->now);
	if (!flow)
		return TRACE_NONE;
	row = flow->server;
	s = bpf_map_lookup_elem(&servers, &row);
	if (!s || s->method != METHOD_NAT ||
	    !same_address(s->address, p->saddr) ||
	    (s->port && s->port != p->sport))
		return TRACE_OTHER;
	follow(p, w, service, flow);
	return flow->state == FLOW_FIN || flow->state == FLOW_RESET ?
		       TRACE_OVER :
		       TRACE_FOUND;
}

/*
 * NAT by a gateway. A client may have used a port again, for another service of
 * the same server: then the flow that is not over is meant. Where the client has
 * no flow, one service alone sends there, and flows of its own have gone unnoted of
 * late, the packet needs none.
 */
static __always_inline enum verdict trail_gateway(const struct packet *p,
						  struct way *w)
{
	struct endpoint at = { .port = p->sport, .protocol = p->protocol };
	__u32 met = TRACE_NONE, id;
	const struct back *back;
	const __u64 *last;

	copy_address(at.address, p->saddr);
	back = bpf_map_lookup_elem(&backs, &at);
	if (!back)
		return PASS_NO_SERVICE;
	w->now = bpf_ktime_get_coarse_ns();
	for (__u32 i = 0; i < BACK_MAX && i < back->count; i++) {
		met |= trace(p, w, back->service[i]);
		if (met & TRACE_FOUND)
			return PARSED;
	}
	if (met & TRACE_OVER)
		return PARSED;
	if (met || back->count != 1)
		return PASS_NO_SERVICE;
	id = back->service[0];
	last = bpf_map_lookup_elem(&unnoted, &id);
	if (!last || !*last || (__s64)(w->now - *last) > UNNOTED_NS)
		return PASS_NO_SERVICE;
	w->service = id;
	return PARSED;
}

/* Which of the director's addresses the packet is to; SOURCES_MAX: none. */
__noinline __u32 source_of(const struct packet *p)
{
	__u32 zero = 0, first, count;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);

	if (!p || !set)
		return SOURCES_MAX;
	first = first_source(p->v6);
	count = source_count(set, p->v6);
	for (__u32 i = 0; i < SOURCES_MAX / 2 && i < count; i++)
		if (same_address(set->source[(first + i) % SOURCES_MAX],
				 p->daddr))
			return first + i;
	return SOURCES_MAX;
}

/* The row of a full NAT flow's binding, as a packet from the server names it. */
static __always_inline struct binding *
binding_of(const struct packet *p, __u16 source, struct binding_key *at)
{
	*at = (struct binding_key){
		.server = { .port = p->sport, .protocol = p->protocol },
		.port = p->dport,
		.source = source,
	};
	copy_address(at->server.address, p->saddr);
	return bpf_map_lookup_elem(&bindings, at);
}

static __always_inline bool trail_full(const struct packet *p, struct way *w,
				       const struct forward_setting *set)
{
	__u16 port = bpf_ntohs(p->dport);
	const struct binding *row;
	const struct flow *flow;
	struct binding_key at;
	__u32 source;

	if (port < set->port_first || port > set->port_last)
		return false;
	source = source_of(p);
	if (source == SOURCES_MAX)
		return false;
	row = binding_of(p, source, &at);
	if (!row)
		return false;
	w->now = bpf_ktime_get_coarse_ns();
	flow = flow_find(&row->flow, set, w->now);
	if (!flow || !holds(flow, &at))
		return false;
	follow(p, w, row->flow.service, flow);
	w->source = source;
	w->port = p->dport;
	return true;
}

/*
 * The clock is read where there is something to time: most packets to no service
 * are no answers. PARSED: w has the service and, if there is a flow, the server; with full NAT
 * the director's address and port. Of p only the ends and the flags are read.
 */
__noinline enum verdict trail(const struct packet *p, struct way *w)
{
	__u32 zero = 0;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);

	if (!p || !w || !set)
		return PASS_NO_SERVICE;
	return trail_full(p, w, set) ? PARSED : trail_gateway(p, w);
}

/* The client that a trail leads to; false where the binding has gone meanwhile. */
static __always_inline bool client_of(const struct packet *p,
				      const struct way *w, struct flow_key *key)
{
	const struct binding *row;
	struct binding_key at;

	*key = (struct flow_key){ .port = p->dport, .service = w->service };
	copy_address(key->client, p->daddr);
	if (!w->port)
		return true;
	row = binding_of(p, w->source, &at);
	if (!row)
		return false;
	*key = row->flow;
	return true;
}

#endif
