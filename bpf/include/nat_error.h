/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_NAT_ERROR_H
#define MAITRED_NAT_ERROR_H

#include "inner.h"
#include "nat.h"

#pragma clang diagnostic ignored "-Wunused-parameter" /* placeholder */

/*
 * What it must offer, to tc alone; icmp_error calls it:
 *
 * nat_error: an error about a packet from a service to a client, whose flow has
 * server s (w->server, METHOD_NAT or METHOD_FULLNAT), and w->source and w->port
 * with full NAT. It gets what the server sent in place of what the client got,
 * and is sent there.
 *
 * nat_error_back: an error about a packet to a server, from its side. It gets
 * what the client sent in place of what the server got, and is sent there, with
 * w->service and w->server set.
 *
 * Both: FORWARD_ERROR with p->action, DROP_*, or PASS_PROTOCOL and an untouched
 * frame where there is no such flow.
 */
static __always_inline enum verdict
nat_error(const struct frame *f, struct packet *p, const struct inner *in,
	  struct way *w, const struct server *s)
{
	return PASS_PROTOCOL;
}

static __always_inline enum verdict nat_error_back(const struct frame *f,
						   struct packet *p,
						   const struct inner *in,
						   struct way *w)
{
	return PASS_PROTOCOL;
}

#endif
