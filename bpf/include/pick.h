/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PICK_H
#define MAITRED_PICK_H

#include "parse.h"
#include "tables.h"

/*
 * Which server gets a flow. The hash has no secret and no random part: all
 * directors that have the same ring send a client to the same server.
 */

/* Odd numbers with no pattern: the fractions of the golden and silver ratios. */
#define MIX_A 0x9e3779b97f4a7c15ULL
#define MIX_B 0x6a09e667f3bcc909ULL

static __always_inline __u64 mix(__u64 h)
{
	h *= MIX_A;
	h ^= h >> 32;
	h *= MIX_B;
	return h ^ h >> 29;
}

/* A hash of the client: of its address, and of its port unless that is 0. */
static __always_inline __u64 client_hash(const __be32 address[4], __be16 port)
{
	__u64 high = (__u64)address[1] << 32 | address[0];
	__u64 low = (__u64)address[3] << 32 | address[2];

	return mix(mix(high + MIX_B) + low + (__u64)port * MIX_B);
}

/* A number below count, by the bits of a hash that are mixed best. */
static __always_inline __u32 scaled(__u64 hash, __u32 count)
{
	return (hash >> 32) * count >> 32;
}

/*
 * A ring holds only servers that are up; but one may have gone down since it was
 * made. So many slots are tried before the service is said to have none.
 */
#define PICK_TRIES 9

/*
 * The row of the server that is to get a new flow; 0 where none was found. Whose
 * turn it is counts only where the flow can be noted: what can't is told by its
 * hash, which the next packet has too.
 */
__noinline __u32 pick(const struct packet *p, __u32 id, bool noted)
{
	const struct forward *fwd = bpf_map_lookup_elem(&forwards, &id);
	__u32 *turn = bpf_map_lookup_elem(&turns, &id);
	bool by_turn;
	__u64 hash;

	if (!p || !fwd || !turn || !fwd->slots)
		return 0;
	by_turn = fwd->spread == SPREAD_TURN && noted;
	hash = client_hash(p->saddr,
			   fwd->spread == SPREAD_ADDRESS ? 0 : p->sport);
	for (int i = 0; i < PICK_TRIES; i++) {
		__u32 slot, row;
		const struct server *s;

		slot = by_turn ? __sync_fetch_and_add(turn, 1) % fwd->slots :
				 scaled(hash, fwd->slots);
		row = ring_at(id, slot);
		s = bpf_map_lookup_elem(&servers, &row);
		if (row && s && s->state == SERVER_UP)
			return row;
		hash = mix(hash);
	}
	return 0;
}

#endif
