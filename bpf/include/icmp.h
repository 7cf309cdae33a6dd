/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ICMP_H
#define MAITRED_ICMP_H

#include "conn.h"
#include "encap.h"
#include "nat.h"

#pragma clang diagnostic ignored "-Wunused-parameter" /* placeholder */

/*
 * What it must offer, to tc alone: XDP leaves all ICMP to it as PASS_PROTOCOL,
 * which it does not count. w->now is set, the rest of w empty.
 *
 * icmp_error: any whole ICMP or ICMPv6 packet. PASS_PROTOCOL: no error, or none
 * that concerns a flow, and untouched. PARSED: to be delivered (forward.h) to
 * w->server as it is, with that one's method; with NAT rather FORWARD_ERROR and
 * p->action by itself, by way_to_server or way_to, untag, hop and transmit. Sets
 * w->service for the counters. deliver answers no ICMP error with another.
 *
 * icmp_too_big, icmp_expired: turn the frame into an answer to its sender, from
 * the address that it was sent to, on the way that it came (answer.h); mtu in
 * bytes of an IP packet. ANSWER_TOO_BIG, ANSWER_EXPIRED, DROP_LIMIT, DROP_ERROR.
 */
static __always_inline enum verdict icmp_error(const struct frame *f,
					       struct packet *p, struct way *w)
{
	return PASS_PROTOCOL;
}

static __always_inline enum verdict icmp_too_big(const struct frame *f,
						 struct packet *p, __u32 mtu)
{
	barrier_var(mtu);
	return DROP_ERROR;
}

static __always_inline enum verdict icmp_expired(const struct frame *f,
						 struct packet *p)
{
	return DROP_ERROR;
}

#endif
