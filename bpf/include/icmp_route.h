/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ICMP_ROUTE_H
#define MAITRED_ICMP_ROUTE_H

#include "icmp_make.h"
#include "conn.h"
#include "pick.h"
#include "pulse.h"
#include "quote.h"
#include "service.h"

/*
 * Errors of others: to which server or client one goes by the packet that it is
 * about. tc only.
 */

/* What every path carries: RFC 1191, 3 (less is a lie, mostly); RFC 8200, 5. */
#define PATH_MTU4_MIN 552
#define PATH_MTU6_MIN 1280
#define PATH_MTU_SECONDS 600 /* RFC 1191, 6.3 */

static __always_inline bool is_error(const struct packet *p)
{
	if (p->v6)
		return p->type >= ICMP6_UNREACHABLE &&
		       p->type <= ICMP6_PARAMETER;
	return p->type == ICMP4_UNREACHABLE || p->type == ICMP4_EXPIRED ||
	       p->type == ICMP4_PARAMETER;
}

static __always_inline bool is_too_big(const struct packet *p)
{
	if (p->v6)
		return p->type == ICMP6_TOO_BIG;
	return p->type == ICMP4_UNREACHABLE && p->code == ICMP4_NEED_FRAGMENT;
}

/* Errors come to the sender of what they are about, and to nobody else. */
static __always_inline bool sent_from(const struct packet *p,
				      const struct inner *in)
{
	return in->saddr[0] == p->daddr[0] && in->saddr[1] == p->daddr[1] &&
	       in->saddr[2] == p->daddr[2] && in->saddr[3] == p->daddr[3];
}

static __always_inline bool to_tunnel(const struct inner *in)
{
	struct endpoint key = { .protocol = IPPROTO_IPIP };

	if (in->protocol != IPPROTO_IPIP && in->protocol != IPPROTO_IPV6 &&
	    in->protocol != IPPROTO_UDP)
		return false;
	__builtin_memcpy(key.address, in->daddr, sizeof(key.address));
	return bpf_map_lookup_elem(&backs, &key);
}

/*
 * A router on the way to a server has let know what it can carry. One that is
 * believed only ever makes the way narrower, until it is forgotten.
 */
static __always_inline void learn_mtu(const struct frame *f,
				      const struct packet *p,
				      const struct inner *in,
				      const struct way *w)
{
	__u32 now = w->now / 1000000000ULL;
	__u32 least = p->v6 ? PATH_MTU6_MIN : PATH_MTU4_MIN;
	struct path_mtu learnt = { .until = now + PATH_MTU_SECONDS };
	const struct path_mtu *known;
	struct path path;
	__be32 rest;

	if (frame_load(f, p->l4 + __builtin_offsetof(struct icmp, rest), &rest,
		       sizeof(rest)))
		return;
	learnt.mtu = bpf_ntohl(rest);
	if (!p->v6)
		learnt.mtu &= 0xffff;
	if (learnt.mtu < least)
		learnt.mtu = least;
	__builtin_memcpy(path.source, in->saddr, sizeof(path.source));
	__builtin_memcpy(path.server, in->daddr, sizeof(path.server));
	known = bpf_map_lookup_elem(&path_mtus, &path);
	if (known && known->until > now && known->mtu < learnt.mtu)
		return;
	bpf_map_update_elem(&path_mtus, &path, &learnt, BPF_ANY);
}

/*
 * The server whose packet to the client it was: that of the flow, or where none is
 * known what a packet of the client's would be given. A client of the page has none.
 */
static __always_inline __u32 server_of(const struct packet *p,
				       const struct service *svc, struct way *w)
{
	struct flow_key key = { .port = p->sport, .service = svc->id };
	const struct forward_setting *set;
	const struct flow *flow;
	__u32 zero = 0;

	set = bpf_map_lookup_elem(&forwarding, &zero);
	if (!set)
		return 0;
	__builtin_memcpy(key.client, p->saddr, sizeof(key.client));
	flow = flow_find(&key, set, w->now);
	if (!flow)
		return mode_of(svc) == MODE_SORRY ? 0 : pick(p, svc->id, false);
	w->port = flow->port;
	w->source = flow->source;
	return flow->server;
}

/*
 * An ICMP packet. PASS_PROTOCOL: it is no error, or concerns no flow. PARSED: it
 * is to go to w->server. PASS_NO_SERVICE: what it is about went to no service, and
 * may have gone to a server by NAT. With the latter two p has the ends of what it
 * is about, the other way round: see quote.h.
 */
static __always_inline enum verdict icmp_error(const struct frame *f,
					       struct packet *p, struct way *w)
{
	const struct service *svc;
	const struct server *s;
	struct inner in = {};
	__u32 row;

	if (!is_error(p) || !read_inner(f, p, &in) || !sent_from(p, &in))
		return PASS_PROTOCOL;
	if (is_too_big(p) && to_tunnel(&in))
		learn_mtu(f, p, &in, w);
	turn(p, &in);
	svc = service_of(p);
	if (!svc)
		return PASS_NO_SERVICE;
	row = server_of(p, svc, w);
	s = bpf_map_lookup_elem(&servers, &row);
	if (!row || !s || s->state == SERVER_NONE ||
	    (s->method == METHOD_FULLNAT && !w->port))
		return PASS_PROTOCOL;
	w->server = row;
	w->service = svc->id;
	return PARSED;
}

#endif
