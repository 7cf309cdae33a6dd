/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_BIND_H
#define MAITRED_BIND_H

#include "conn.h"
#include "nat.h"
#include "pick.h"

/*
 * Full NAT's ports. One is taken while its row of bindings names a flow and that
 * flow names the port. The row is made first and the flow noted after it; what
 * another CPU overtakes, or a table forgets, leaves a row that does not hold, and
 * anyone may have it.
 */

static __always_inline bool same_flow(const struct flow_key *a,
				      const struct flow_key *b)
{
	return same_address(a->client, b->client) && a->port == b->port &&
	       a->service == b->service;
}

/* Whether the flow has the port of that row. */
static __always_inline bool holds(const struct flow *flow,
				  const struct binding_key *at)
{
	__u32 row = flow->server;
	const struct server *s = bpf_map_lookup_elem(&servers, &row);

	return s && s->method == METHOD_FULLNAT && flow->port == at->port &&
	       flow->source == at->source &&
	       same_address(s->address, at->server.address);
}

/* Seconds after which a flow that stands in fresh may lose its port. */
#define FRESH_HELD 3

/*
 * Whether the flow that a row names keeps its port. Where ports are scarce one in
 * fresh does not for long: a flood of clients that never say more, or of questions
 * that have had their answer, would hold all ports for as long as flows live.
 */
static __always_inline bool keeps(const struct flow_key *key,
				  const struct binding_key *at,
				  const struct forward_setting *set, __u64 now,
				  bool scarce)
{
	const struct flow *flow = bpf_map_lookup_elem(&flows, key);
	bool waits = !flow;

	if (waits)
		flow = bpf_map_lookup_elem(&fresh, key);
	if (!flow || !holds(flow, at) || !flow_lives(flow, set, now))
		return false;
	return !(waits && scarce && flow_waited(flow, now, FRESH_HELD));
}

/* Makes the row the flow's: 1, or 0 where it is another's, who keeps it. */
__noinline int claim(const struct binding_key *at, const struct flow_key *key,
		     __u64 now, bool scarce)
{
	__u32 zero = 0;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);
	struct binding own = {};
	struct binding_key place;
	const struct binding *row;

	if (!at || !key || !set)
		return 0;
	own.flow = *key;
	place = *at;
	row = bpf_map_lookup_elem(&bindings, &place);
	if (!row)
		return !bpf_map_update_elem(&bindings, &place, &own,
					    BPF_NOEXIST);
	if (same_flow(&row->flow, key))
		return 1;
	if (keeps(&row->flow, at, set, now, scarce))
		return 0;
	return !bpf_map_update_elem(&bindings, &place, &own, BPF_ANY);
}

/* The address and port that a packet to the server goes to. */
static __always_inline struct endpoint endpoint_of(const struct packet *p,
						   const struct server *s)
{
	struct endpoint e = {
		.port = s->port ? s->port : p->dport,
		.protocol = p->protocol,
	};

	copy_address(e.address, s->address);
	return e;
}

/* The director's addresses of one family: the first, and how many there are. */
static __always_inline __u32 first_source(bool v6)
{
	return v6 ? SOURCES_MAX / 2 : 0;
}

static __always_inline __u32 source_count(const struct forward_setting *set,
					  bool v6)
{
	return v6 ? set->sources6 : set->sources4;
}

#define PORT_TRIES 8

/*
 * Finds the address and port of the director's that a flow is to have with this
 * server, before the flow is noted. Ports are tried at random: with three in four
 * of them kept, one flow in ten gets none.
 */
static __always_inline enum verdict nat_bind(const struct packet *p,
					     struct way *w,
					     const struct server *s,
					     const struct flow_key *key)
{
	struct binding_key at = { .server = endpoint_of(p, s) };
	__u32 zero = 0, count, range;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);

	if (!set || set->port_last < set->port_first)
		return DROP_NO_PORT;
	count = source_count(set, p->v6);
	range = set->port_last - set->port_first + 1;
	if (!count)
		return DROP_NO_PORT;
	w->source = first_source(p->v6) +
		    scaled(mix(client_hash(p->saddr, 0)), count);
	at.source = w->source;
	for (int i = 0; i < PORT_TRIES; i++) {
		at.port = bpf_htons(set->port_first +
				    bpf_get_prandom_u32() % range);
		if (claim(&at, key, w->now, i >= PORT_TRIES / 2)) {
			w->port = at.port;
			return PARSED;
		}
	}
	return DROP_NO_PORT;
}

/*
 * Whether a flow still has its port: its row may have been washed out, and is
 * made again. False where the port is another's by now, or the address or the port
 * is one of the director's no longer, which has answers taken for no flow's.
 */
static __always_inline bool nat_keep(const struct packet *p,
				     const struct way *w,
				     const struct server *s,
				     const struct flow_key *key)
{
	struct binding_key at = {
		.server = endpoint_of(p, s),
		.port = w->port,
		.source = w->source,
	};
	__u32 zero = 0, nth = w->source - first_source(p->v6);
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);

	return set && nth < source_count(set, p->v6) &&
	       bpf_ntohs(w->port) >= set->port_first &&
	       bpf_ntohs(w->port) <= set->port_last &&
	       claim(&at, key, w->now, false);
}

/*
 * How long the answers to what was not noted may be underway: a handshake with
 * two retransmissions (RFC 6298, 2 and 5.5).
 */
#define UNNOTED_NS 7000000000LL

/*
 * A flow of NAT by a gateway that the budget has no room for need not be noted
 * where one service alone sends to what the packet is translated to. Its answers
 * are known by that for a while, as are those of connections past the service.
 */
static __always_inline bool
nat_unnoted(const struct packet *p, const struct way *w, const struct server *s)
{
	struct endpoint at = endpoint_of(p, s);
	const struct back *back = bpf_map_lookup_elem(&backs, &at);
	__u32 id = w->service;
	__u64 *last = bpf_map_lookup_elem(&unnoted, &id);

	if (!back || back->count != 1 || !last)
		return false;
	if ((__s64)(w->now - *last) > UNNOTED_NS / 8)
		*last = w->now;
	return true;
}

#endif
