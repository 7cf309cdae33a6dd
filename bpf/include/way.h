/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_WAY_H
#define MAITRED_WAY_H

#include <linux/bpf.h>

#include "types.h"

/*
 * What has been found out of the way of one packet, and its row of counters:
 * plain values, so that global functions can share it. All zero at first. Linux
 * 6.1 takes no map's key from what a global function was given, such as this or
 * a packet: it must be copied to a variable.
 */
struct way {
	__u64 now; /* nanoseconds since boot */
	struct route route;
	/* The next hop, for a neighbour whose MAC address is not known. */
	struct bpf_redir_neigh next;
	__u32 service; /* id of its row; 0: of none */
	__u32 server; /* its row; 0: none. Given beforehand: take that one */
	__u8 pad;
	__u8 closed; /* 1: no flow may begin */
	__u8 opens; /* 1: the packet is the first of a flow, or answers it */
	__u8 touch; /* 1: the row of the flow is behind the packet */
	__be16 port; /* full NAT: the director's */
	__u8 source; /* full NAT: which of the director's addresses */
	__u8 linked; /* 1: the route has the MAC addresses */
};

/* Flows keep the time of their last packet in seconds that wrap. */
static __always_inline __u16 seconds(__u64 now)
{
	return now / 1000000000ULL;
}

#endif
