/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_FRAGMENT_H
#define MAITRED_FRAGMENT_H

#include "trail.h"

/*
 * The later fragments of a datagram have no ports and go where the first went.
 * tc alone has to do with fragments.
 */

/*
 * A datagram is known by what its packets have on their way to the director.
 * With IPv6 that is no protocol: what the later ones name may be another header
 * than what the first does (RFC 8200, 4.5).
 */
static __always_inline struct fragment_key fragment_of(const struct packet *p)
{
	struct fragment_key key = {
		.id = p->id,
		.protocol = p->v6 ? 0 : p->protocol,
	};

	copy_address(key.saddr, p->saddr);
	copy_address(key.daddr, p->daddr);
	return key;
}

/* As long as any host waits for the rest of a datagram: RFC 8200, 4.5. */
#define FRAGMENT_SECONDS 60

/*
 * Notes where a first fragment goes: to the way's server, or from that to the
 * client that its trail leads to. A function of its own, for it takes much of the
 * stack.
 */
__noinline int fragment_note(const struct packet *p, const struct way *w,
			     bool back)
{
	struct fragment_way way = {};
	struct fragment_key key;

	if (!p || !w)
		return 0;
	key = fragment_of(p);
	way.server = w->server;
	way.source = w->source;
	way.back = back;
	way.until = w->now / 1000000000ULL + FRAGMENT_SECONDS;
	way.flow.port = p->sport;
	way.flow.service = w->service;
	copy_address(way.flow.client, p->saddr);
	if (back && !client_of(p, w, &way.flow))
		return 0;
	return bpf_map_update_elem(&fragments, &key, &way, BPF_ANY);
}

#endif
