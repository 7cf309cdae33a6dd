/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_FRAGMENT_H
#define MAITRED_FRAGMENT_H

#include "parse.h"
#include "tables.h"
#include "way.h"

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

	__builtin_memcpy(key.saddr, p->saddr, sizeof(key.saddr));
	__builtin_memcpy(key.daddr, p->daddr, sizeof(key.daddr));
	return key;
}

/* Notes where a first fragment goes: to the way's server or, back, from it. */
static __always_inline void fragment_put(const struct packet *p,
					 const struct way *w,
					 const struct flow_key *flow, bool back)
{
	struct fragment_key key = fragment_of(p);
	struct fragment_way way = {
		.flow = *flow,
		.server = w->server,
		.back = back,
		.source = w->source,
	};

	bpf_map_update_elem(&fragments, &key, &way, BPF_ANY);
}

static __always_inline void fragment_note(const struct packet *p,
					  const struct way *w)
{
	struct flow_key flow = { .port = p->sport, .service = w->service };

	__builtin_memcpy(flow.client, p->saddr, sizeof(flow.client));
	fragment_put(p, w, &flow, false);
}

#endif
