/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_CHOOSE_H
#define MAITRED_CHOOSE_H

#include "bind.h"
#include "conn.h"
#include "pick.h"
#include "tcp.h"

/*
 * To which server a packet goes: by its flow, if that is known, or by a pick
 * that is noted.
 */

static __always_inline void tally_lost(__u32 server)
{
	struct tally *t = bpf_map_lookup_elem(&tallies, &server);

	if (t)
		t->lost++;
}

static __always_inline struct flow *flow_at(const struct flow_key *key,
					    bool *in_fresh)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	*in_fresh = !flow;
	return flow ? flow : bpf_map_lookup_elem(&fresh, key);
}

/*
 * A flow that is not known, or whose server is no more: one is picked. The row of
 * one that is known is used again, and looked up again, which is rare: else the
 * verifier would go through this for each table that it may be in. A reset is the
 * end of what is not known, and never noted.
 */
static __always_inline enum verdict flow_open(const struct packet *p,
					      struct way *w,
					      const struct forward_setting *set,
					      const struct flow_key *key,
					      bool known)
{
	bool tcp = p->protocol == IPPROTO_TCP;
	bool first = !tcp || is_syn(p);
	bool asked = w->server; /* by a check, which notes what it does */
	bool note = known || asked;
	struct flow flow = { .seen = seconds(w->now), .state = FLOW_NEW };
	const struct server *to;
	struct flow *old = NULL;
	__u32 row;

	if (w->closed)
		return PASS_NO_PAGE;
	if (!note && !(p->flags & TCP_RST))
		note = may_note(set, w->now, first);
	if (!asked)
		w->server = pick(p, w->service, note && (first || known));
	row = w->server;
	to = bpf_map_lookup_elem(&servers, &row);
	if (!row || !to)
		return PASS_NO_SERVER;
	if (to->method == METHOD_FULLNAT) {
		enum verdict v = nat_bind(p, w, to, key);

		if (v != PARSED)
			return v;
		note = true;
	}
	if (to->method == METHOD_NAT && !note)
		note = !nat_unnoted(p, w, to);
	flow.server = row;
	flow.port = w->port;
	flow.source = w->source;
	if (!first)
		flow.state = flow_next(p, FLOW_NEW);
	if (known)
		old = flow_at(key, &known);
	if (old)
		*old = flow;
	else if (note)
		bpf_map_update_elem(&fresh, key, &flow, BPF_ANY);
	w->opens = note || first;
	return FORWARD_OPEN;
}

/* The server of the flow is down, and its service wants no flow to outlive it. */
static __always_inline enum verdict
flow_reset(const struct packet *p, const struct flow_key *key, struct reply *r)
{
	bool reset = p->flags & TCP_RST;
	__u32 zero = 0;
	const struct setting *s = bpf_map_lookup_elem(&settings, &zero);

	if (!reset && !(p->flags & TCP_ACK))
		return DROP_FLAGS;
	if (!reset && (!s || !may_reset(s)))
		return DROP_LIMIT;
	bpf_map_delete_elem(&flows, key);
	bpf_map_delete_elem(&fresh, key);
	if (reset)
		return DROP_RESET;
	r->seq = p->ack;
	r->flags = TCP_RST;
	return ANSWER_RESET;
}

/*
 * A packet of a flow that is known. PARSED: it needs another server. What a
 * check asks goes to the server that it asks, whatever that one's state.
 */
static __always_inline enum verdict
flow_go(const struct packet *p, struct way *w, const struct forward *fwd,
	const struct flow_key *key, struct flow *flow, struct reply *r,
	__u32 *lost)
{
	__u32 row = flow->server;
	const struct server *s = bpf_map_lookup_elem(&servers, &row);
	enum server_state state = s && row ? s->state : SERVER_NONE;
	bool tcp = p->protocol == IPPROTO_TCP;
	bool over = flow->state == FLOW_FIN || flow->state == FLOW_RESET;
	enum flow_state next = FLOW_NEW;
	bool asked = w->server;

	if (!asked && !over && state != SERVER_UP && state != SERVER_DRAIN)
		*lost = row;
	if (asked ? w->server != row : state == SERVER_NONE)
		return PARSED;
	if (tcp && is_syn(p) && (over || (state != SERVER_UP && !asked)))
		return PARSED;
	if (state == SERVER_DOWN && fwd->down != DOWN_KEEP && !asked)
		return tcp && fwd->down == DOWN_RESET ? flow_reset(p, key, r) :
							PARSED;
	w->server = row;
	w->port = flow->port;
	w->source = flow->source;
	if (s && s->method == METHOD_FULLNAT && flow->seen != seconds(w->now) &&
	    !nat_keep(p, w, s, key))
		return PARSED; /* it has lost its port, and gets another */
	w->opens = flow->state == FLOW_PICKED;
	if (!w->opens)
		next = flow_next(p, flow->state);
	flow_touch(flow, next, w->now);
	return w->opens ? FORWARD_OPEN : FORWARD_FLOW;
}

/*
 * Chooses the server of a packet to a service that is forwarded here: FORWARD_*
 * with the way's server, or a verdict, for ANSWER_RESET with the reply.
 */
__noinline enum verdict choose(const struct packet *p, struct way *w,
			       struct reply *r)
{
	bool in_fresh, known;
	enum verdict v = PARSED;
	struct flow_key key = {};
	__u32 id, zero = 0, lost = 0;
	const struct forward_setting *set;
	const struct forward *fwd;
	struct flow *flow;

	if (!p || !w || !r)
		return PASS_NO_SERVER;
	id = w->service;
	set = bpf_map_lookup_elem(&forwarding, &zero);
	fwd = bpf_map_lookup_elem(&forwards, &id);
	if (!set || !fwd)
		return PASS_NO_SERVER;
	__builtin_memcpy(key.client, p->saddr, sizeof(key.client));
	key.port = p->sport;
	key.service = w->service;
	flow = flow_at(&key, &in_fresh);
	known = flow;
	barrier_var(known); /* or clang keeps the pointer for it */
	if (flow && flow_lives(flow, set, w->now))
		v = flow_go(p, w, fwd, &key, flow, r, &lost);
	if (v == FORWARD_FLOW && in_fresh && flow)
		flow_promote(p, &key, flow);
	if (v == FORWARD_FLOW || v == FORWARD_OPEN)
		return v;
	if (v == PARSED)
		v = flow_open(p, w, set, &key, known);
	if (lost && (v == FORWARD_OPEN || v == ANSWER_RESET || v == DROP_RESET))
		tally_lost(lost);
	return v;
}

#endif
