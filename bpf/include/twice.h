/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_TWICE_H
#define MAITRED_TWICE_H

#include "tcp.h"

/*
 * A client that is to be greeted says nothing, and so no timer of its would bring
 * back what was lost: neither the end of its handshake on the way here, nor the
 * greeting on the way there. So tc sends what leads there twice, by a clone: the
 * SYN-ACK, whose second one a client answers with another acknowledgement (RFC
 * 9293, 3.10.7.4), and the greeting. Of 2000 clients, with 5 % of all packets lost
 * each way, 210 were never greeted without that, 99 with the greeting sent twice,
 * 46 with the SYN-ACK, and 11 with both.
 *
 * No packet is longer for that, but a forged SYN brings two: hence the limit. What
 * a CPU has beyond it XDP answers at once, and once.
 */
#define TWICE_LIMIT 5000
#define TWICE_WINDOW_NS 100000000ULL

/* XDP's, which leaves so many packets to tc, and tc's. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct budget);
	__uint(max_entries, 2);
} twices SEC(".maps");

static __always_inline bool may_twice(const struct frame *f)
{
	__u32 key = f->xdp;
	struct budget *b = bpf_map_lookup_elem(&twices, &key);

	return b && within(b, TWICE_WINDOW_NS, TWICE_LIMIT);
}

/* Has an answer sent twice, or has tc do that. */
static __always_inline enum verdict twice(const struct frame *f,
					  struct reply *r, enum verdict v)
{
	if (!may_twice(f))
		return v;
	r->twice = true;
	if (!f->xdp)
		return v;
	r->flags = 0;
	return PASS_DEFERRED;
}

#endif
