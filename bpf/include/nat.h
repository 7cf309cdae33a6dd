/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_NAT_H
#define MAITRED_NAT_H

#include "conn.h"
#include "route.h"
#include "send.h"

#pragma clang diagnostic ignored "-Wunused-parameter" /* placeholder */

/*
 * What it must offer:
 *
 * nat_bind (choose.h, no frame): a full NAT flow is about to be noted with this
 * server: finds w->source and w->port and writes the binding, whose value is the
 * key. PARSED, or DROP_NO_PORT.
 *
 * nat_keep (choose.h, no frame): once a second and flow that packets come for:
 * w->source and w->port are the flow's; the binding may have been washed out.
 *
 * nat_single (choose.h, no frame): whether one service alone sends to what this
 * packet is translated to, so that the way back needs no flow (struct back).
 *
 * nat_out (forward.h deliver, XDP and tc, inlined): METHOD_NAT and
 * METHOD_FULLNAT, in place, from the IP header on; hop() was called before and
 * tags are off. A PART_LATER has addresses only. PARSED or DROP_ERROR; never
 * deferred.
 *
 * nat_back (XDP and tc): packets to no service, TCP and UDP, PART_WHOLE and (tc)
 * PART_FIRST. PASS_NO_SERVICE: none of ours, and untouched. Else FORWARD_BACK by
 * way_to, sendable (XDP: PASS_DEFERRED if not), untag, hop and transmit, with
 * w->service and w->server set for the counters; the flow by flow_find and
 * flow_touch(flow_next()). A packet of ours with p->hops <= 1, or too big for the
 * way: XDP PASS_DEFERRED, tc ANSWER_EXPIRED or ANSWER_TOO_BIG with w->route.mtu,
 * and an untouched frame: director.c has icmp.h say it. It counts the tally's back_packets, back_bytes (of frame_length), opened and
 * refused itself.
 */
static __always_inline enum verdict nat_bind(const struct packet *p,
					     struct way *w,
					     const struct server *s,
					     const struct flow_key *key)
{
	return DROP_NO_PORT;
}

static __always_inline void nat_keep(const struct packet *p,
				     const struct way *w,
				     const struct server *s,
				     const struct flow_key *key)
{
}

static __always_inline bool nat_single(const struct packet *p,
				       const struct server *s)
{
	return false;
}

static __always_inline enum verdict nat_out(const struct frame *f,
					    struct packet *p, struct way *w,
					    const struct server *s)
{
	return DROP_ERROR;
}

static __always_inline enum verdict nat_back(const struct frame *f,
					     struct packet *p, struct way *w)
{
	return PASS_NO_SERVICE;
}

#endif
