/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ROUTE_H
#define MAITRED_ROUTE_H

#include "parse.h"
#include "tables.h"
#include "way.h"

/*
 * The way out of the director, by the kernel's tables: to a server, which each
 * CPU remembers for a while, and to anyone else.
 */

#define ROUTE_NS 100000000ULL
#define FAMILY_IPV4 2 /* AF_INET and AF_INET6 of the kernel */
#define FAMILY_IPV6 10

static __always_inline void next_hop(struct way *w, const __be32 address[4])
{
	if (is_ipv4(address)) {
		w->next.nh_family = FAMILY_IPV4;
		w->next.ipv4_nh = address[3];
		return;
	}
	w->next.nh_family = FAMILY_IPV6;
	__builtin_memcpy(w->next.ipv6_nh, address, sizeof(w->next.ipv6_nh));
}

static __always_inline bool xdp_sends(__u32 interface)
{
	const struct device *d = bpf_map_lookup_elem(&devices, &interface);

	return d && d->xdp;
}

/*
 * Asks the kernel's tables for the way to an address, for which rules may go by
 * the source (zero: unspecified), and returns a BPF_FIB_LKUP_RET_*. The length is one that fits everywhere: given one, the
 * helper tells the MTU, too. Where it knows no neighbour it does not.
 *
 * Linux 6.1 gives out neighbours that have not answered yet: no address is zero.
 */
static __always_inline long find_way(const struct frame *f,
				     const __be32 source[4],
				     const __be32 address[4], struct way *w)
{
	struct bpf_fib_lookup fib = {
		.family = is_ipv4(address) ? FAMILY_IPV4 : FAMILY_IPV6,
		.tot_len = 1,
		.ifindex = frame_interface(f),
	};
	long answer;

	if (fib.family == FAMILY_IPV4) {
		fib.ipv4_src = source[3];
		fib.ipv4_dst = address[3];
	} else {
		__builtin_memcpy(fib.ipv6_src, source, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, address, sizeof(fib.ipv6_dst));
	}
	answer = bpf_fib_lookup(f->ctx, &fib, sizeof(fib), 0);
	if (answer != BPF_FIB_LKUP_RET_SUCCESS &&
	    answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return answer;
	w->route.interface = fib.ifindex;
	w->route.mtu = fib.mtu_result;
	w->route.xdp = xdp_sends(fib.ifindex);
	__builtin_memcpy(w->route.target, fib.dmac, ETH_ALEN);
	__builtin_memcpy(w->route.source, fib.smac, ETH_ALEN);
	w->linked = answer == BPF_FIB_LKUP_RET_SUCCESS &&
		    (fib.dmac[0] | fib.dmac[1] | fib.dmac[2] | fib.dmac[3] |
		     fib.dmac[4] | fib.dmac[5]);
	if (w->linked)
		return answer;
	w->route.mtu = frame_mtu(f, fib.ifindex);
	w->next.nh_family = fib.family;
	__builtin_memcpy(w->next.ipv6_nh, fib.ipv6_dst,
			 sizeof(w->next.ipv6_nh));
	return answer;
}

/* What the row of the server says, for where the kernel's tables say nothing. */
static __always_inline bool configured_way(const struct frame *f,
					   const struct server *s, long answer,
					   struct way *w)
{
	static const __be32 none[4];

	if (!s->interface || (answer != BPF_FIB_LKUP_RET_FWD_DISABLED &&
			      answer != BPF_FIB_LKUP_RET_NOT_FWDED))
		return false;
	w->route.interface = s->interface;
	w->route.mtu = frame_mtu(f, s->interface);
	w->linked = 0;
	next_hop(w, __builtin_memcmp(s->gateway, none, sizeof(none)) ?
			    s->gateway :
			    s->address);
	return true;
}

/* The smaller of what the route, the configuration and a router have said. */
static __always_inline void narrow(const struct server *s, struct way *w)
{
	const struct path_mtu *known;
	__u32 mtu = w->route.mtu;
	struct path path;

	__builtin_memcpy(path.source, s->source, sizeof(path.source));
	__builtin_memcpy(path.server, s->address, sizeof(path.server));
	known = bpf_map_lookup_elem(&path_mtus, &path);

	if (s->mtu && (!mtu || s->mtu < mtu))
		mtu = s->mtu;
	if (known && known->until > (__u32)(w->now / 1000000000ULL) &&
	    (!mtu || known->mtu < mtu))
		mtu = known->mtu;
	w->route.mtu = mtu;
}

/* The way to the server; false where there is none. */
static __always_inline bool way_to_server(const struct frame *f, struct way *w,
					  const struct server *s)
{
	__u32 row = w->server;
	struct route *kept = bpf_map_lookup_elem(&routes, &row);
	long answer;

	if (!kept)
		return false;
	if (kept->interface && kept->until > w->now) {
		w->route = *kept;
		w->linked = 1;
		return true;
	}
	answer = find_way(f, s->source, s->address, w);
	if (answer != BPF_FIB_LKUP_RET_SUCCESS &&
	    answer != BPF_FIB_LKUP_RET_NO_NEIGH &&
	    !configured_way(f, s, answer, w))
		return false;
	narrow(s, w);
	w->route.until = w->now + ROUTE_NS;
	if (w->linked)
		*kept = w->route;
	else
		kept->interface = 0;
	return true;
}

#endif
