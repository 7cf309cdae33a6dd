/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_BACK_H
#define MAITRED_BACK_H

#include "fragment.h"
#include "probe.h"
#include "route.h"
#include "send.h"
#include "trail.h"

/*
 * NAT's way back: a server's answer goes to the client, in the name that the
 * client has for the service.
 */

/*
 * The way to the client of a flow; false where there is none. The client may be
 * this host, which checks the server on the way of the data.
 */
static __always_inline bool way_back(const struct frame *f, struct way *w,
				     const __be32 service[4],
				     const __be32 client[4])
{
	__u32 zero = 0;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);
	long answer = find_way(f, service, client, w);

	if (answer == BPF_FIB_LKUP_RET_SUCCESS ||
	    answer == BPF_FIB_LKUP_RET_NO_NEIGH)
		return true;
	w->route.interface = LOOPBACK;
	return w->server && set && set->probes &&
	       (answer == BPF_FIB_LKUP_RET_NOT_FWDED ||
		answer == BPF_FIB_LKUP_RET_FWD_DISABLED);
}

/* PASS_NO_SERVICE: it can't go to the client, and is untouched. */
static __always_inline enum verdict go_back(const struct frame *f,
					    struct packet *p, struct way *w,
					    const struct flow_key *client)
{
	__u32 id = w->service;
	const struct forward *fwd = bpf_map_lookup_elem(&forwards, &id);
	struct ends to = { .dport = client->port };
	bool self;

	if (!fwd || !fwd->service.protocol ||
	    !way_back(f, w, fwd->service.address, client->client))
		return PASS_NO_SERVICE;
	self = w->route.interface == LOOPBACK;
	if (f->xdp && (self || !sendable(f, p, w) || unfinished(f, p)))
		return PASS_DEFERRED;
	if (p->hops <= 1 && !self)
		return f->xdp ? PASS_DEFERRED : ANSWER_EXPIRED;
	if (w->route.mtu && packet_size(f, p) > w->route.mtu)
		return f->xdp ? PASS_DEFERRED : ANSWER_TOO_BIG;
	copy_address(to.saddr, fwd->service.address);
	copy_address(to.daddr, client->client);
	to.sport = fwd->service.port;
	if (untag(f, p, w) || hop(f, p->l3, p->v6) || write_ends(f, p, &to))
		return DROP_ERROR;
	return self ? take_in(f, p) : transmit(f, p, w, FORWARD_BACK);
}

/* What the server has given, and what of it concerns its health. */
static __always_inline void tally_back(const struct packet *p,
				       const struct way *w, __u32 bytes)
{
	__u32 row = w->server;
	struct tally *t = bpf_map_lookup_elem(&tallies, &row);

	if (!row || !t)
		return;
	t->back_packets++;
	t->back_bytes += bytes;
	t->opened += (p->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	t->refused += p->flags & TCP_RST && w->opens;
}

static __always_inline void touch_back(const struct packet *p,
				       const struct way *w,
				       const struct flow_key *key)
{
	__u32 zero = 0;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);
	struct flow *flow = set ? flow_find(key, set, w->now) : NULL;

	if (flow)
		flow_touch(flow, flow_next(p, flow->state), w->now);
}

/* A packet whose trail was found. PASS_NO_SERVICE: it is untouched after all. */
static __always_inline enum verdict nat_back(const struct frame *f,
					     struct packet *p, struct way *w)
{
	__u32 bytes = frame_length(f);
	enum verdict v = PASS_NO_SERVICE;
	struct flow_key client;

	if (client_of(p, w, &client))
		v = go_back(f, p, w, &client);
	if (v == PASS_NO_SERVICE)
		w->service = 0;
	if (p->quoted || (v != FORWARD_BACK && v != FORWARD_PROBE))
		return v;
	tally_back(p, w, bytes);
	if (w->touch)
		touch_back(p, w, &client);
	return v;
}

/*
 * A later fragment, of which the addresses, the number and the length are known.
 * PARSED: it is to be delivered to the way's server. PASS_FRAGMENT, untouched,
 * where the first did not come by here.
 */
static __always_inline enum verdict
fragment_later(const struct frame *f, struct packet *p, struct way *w)
{
	struct fragment_key key = fragment_of(p);
	__u32 bytes = frame_length(f);
	const struct fragment_way *way = bpf_map_lookup_elem(&fragments, &key);
	struct flow_key client;
	enum verdict v;

	/* A number of 16 bits comes again, and not for a flow perhaps. */
	if (!way || way->until < (__u32)(w->now / 1000000000ULL))
		return PASS_FRAGMENT;
	w->service = way->flow.service;
	w->server = way->server;
	w->source = way->source;
	if (!way->back)
		return PARSED;
	client = way->flow;
	v = go_back(f, p, w, &client);
	if (v == FORWARD_BACK || v == FORWARD_PROBE)
		tally_back(p, w, bytes);
	if (v != PASS_NO_SERVICE)
		return v;
	w->service = 0;
	return PASS_FRAGMENT;
}

#endif
