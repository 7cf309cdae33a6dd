/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_FINISH_H
#define MAITRED_FINISH_H

#include "csum.h"
#include "parse.h"

/* Where the checksum of TCP or UDP stands in the frame. */
static __always_inline __u32 l4_check(const struct packet *p)
{
	return p->l4 + (p->protocol == IPPROTO_TCP ?
				__builtin_offsetof(struct tcphdr, check) :
				__builtin_offsetof(struct udphdr, check));
}

/*
 * Whether the checksum is left to the transmitter, as a sender behind a veth
 * leaves it: the field has the sum of the pseudo-header alone. Nothing else tells
 * XDP, and what it sends nobody would finish; tc's packets carry a note. A whole
 * checksum looks like that once in 65536 packets.
 */
static __always_inline bool unfinished(const struct frame *f,
				       const struct packet *p)
{
	__u16 *check = frame_start(f) + (l4_check(p) & L4_MAX);
	__u64 sum = (__u64)bpf_htons(p->payload - p->l4 + p->length) +
		    bpf_htons(p->protocol);

	if ((void *)(check + 1) > frame_end(f))
		return true;
	/* The prefix of a mapped address is 0xffff, which adds nothing. */
	for (int i = 0; i < 4; i++)
		sum += (__u64)p->saddr[i] + p->daddr[i];
	return csum_fold(sum) == *check;
}

#endif
