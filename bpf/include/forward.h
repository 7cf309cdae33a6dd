/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_FORWARD_H
#define MAITRED_FORWARD_H

#include "back.h"
#include "encap.h"
#include "icmp.h"
#include "nat.h"
#include "route.h"
#include "send.h"

/*
 * Brings a packet to w->server by its method. FORWARD_* as v says, with
 * p->action; PASS_DEFERRED where XDP has to leave it to tc, and nothing was
 * changed; ANSWER_TOO_BIG or ANSWER_EXPIRED, still to be said, with the way's
 * MTU less the outer header.
 */
static __always_inline enum verdict
deliver(const struct frame *f, struct packet *p, struct way *w, enum verdict v)
{
	__u32 row = w->server;
	const struct server *s = bpf_map_lookup_elem(&servers, &row);
	enum verdict done = PARSED;
	__u32 overhead = 0;

	if (s && s->method == METHOD_LOCAL)
		return PASS_LOCAL;
	if (p->hops <= 1)
		return f->xdp ? PASS_DEFERRED : ANSWER_EXPIRED;
	if (!s || !way_to_server(f, w, s))
		return DROP_NO_ROUTE;
	if (!sendable(f, p, w) || (f->xdp && unfinished(f, p)))
		return PASS_DEFERRED;
	if (s->method == METHOD_TUN)
		overhead = encap_overhead(s);
	if (w->route.mtu && packet_size(f, p) + overhead > w->route.mtu) {
		w->route.mtu -= overhead;
		return f->xdp ? PASS_DEFERRED : ANSWER_TOO_BIG;
	}
	if (untag(f, p, w))
		return DROP_ERROR;
	if (s->method != METHOD_TUN && hop(f, p->l3, p->v6))
		return DROP_ERROR;
	switch (s->method) {
	case METHOD_DR:
	case METHOD_LOCAL:
		break;
	case METHOD_TUN:
		done = encap(f, p, s);
		break;
	case METHOD_NAT:
	case METHOD_FULLNAT:
		done = nat_out(f, p, w, s);
		break;
	}
	return done == PARSED ? transmit(f, p, w, v) : done;
}

/* What the server has got; bytes of the frame as it came in. */
static __always_inline void tally(const struct way *w, __u32 bytes)
{
	struct tally *t = bpf_map_lookup_elem(&tallies, &w->server);

	if (!t)
		return;
	t->packets++;
	t->bytes += bytes;
	t->flows += w->opens;
}

#endif
