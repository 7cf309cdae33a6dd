/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_FRAGMENT_H
#define MAITRED_FRAGMENT_H

#include "conn.h"
#include "nat.h"

#pragma clang diagnostic ignored "-Wunused-parameter" /* placeholder */

/*
 * What it must offer, to tc alone: XDP leaves fragments to it.
 *
 * fragment_note: the PART_FIRST is about to be delivered to w->server, before
 * the frame and p are changed. (The way back is nat_back's, which notes itself.)
 *
 * fragment_later: a PART_LATER, of which only addresses, id, total and protocol
 * are known; w->now is set. PASS_FRAGMENT: its first did not come by here; and
 * untouched. PARSED: to be delivered (forward.h) to w->server with w->service,
 * w->source and w->port set; or FORWARD_BACK and p->action by itself.
 *
 * For IPv6 p->protocol of a later fragment is what its fragment header names,
 * which may be another header before the transport's: no part of a key
 * (RFC 8200, 4.5 has addresses and id alone).
 */
static __always_inline void fragment_note(const struct packet *p,
					  const struct way *w)
{
}

static __always_inline enum verdict
fragment_later(const struct frame *f, struct packet *p, struct way *w)
{
	return PASS_FRAGMENT;
}

#endif
