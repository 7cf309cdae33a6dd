/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ENCAP_H
#define MAITRED_ENCAP_H

#include "send.h"

#pragma clang diagnostic ignored "-Wunused-parameter" /* placeholder */

/*
 * What it must offer (deliver in forward.h calls it, in XDP and tc, inlined):
 *
 * encap_overhead: bytes of the outer header of a packet to the server. The
 * packet's size and these are within the way's MTU when encap is called.
 *
 * encap: puts the outer header in front of the packet. It also takes the inner
 * packet's hop, by hop(), at a time when XDP can no longer fail. Returns PARSED
 * when there is an Ethernet header of the right type at the start of the frame
 * (transmit writes its addresses afterwards; XDP comes with tags only where they
 * are to be kept, tc with none or with those that are to be kept, in the frame
 * or beside it); PASS_DEFERRED with an untouched frame where XDP has no room;
 * DROP_ERROR. p may be left as it is.
 */
static __always_inline __u32 encap_overhead(const struct packet *p,
					    const struct server *s)
{
	return 0;
}

static __always_inline enum verdict encap(const struct frame *f,
					  struct packet *p, struct way *w,
					  const struct server *s)
{
	return f->xdp ? PASS_DEFERRED : DROP_ERROR;
}

#endif
