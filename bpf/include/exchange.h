/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_EXCHANGE_H
#define MAITRED_EXCHANGE_H

#include "speech.h"
#include "tcp.h"

/* A packet whose acknowledgement is one of ours; SPEAK: see speech.h. */
static __always_inline enum verdict
on_exchange(const struct frame *f, const struct packet *p,
	    const struct cookie *c, const struct page *page, struct reply *r)
{
	r->seq = p->ack;
	r->offset = c->offset;
	r->page = c->page;
	r->class = c->class;
	if (p->flags & TCP_RST)
		return DROP_RESET;
	if (page->speech != SPEECH_HTTP)
		return SPEAK;
	if (c->offset > page->length)
		return on_end(p, r);
	if (c->offset == 0)
		return on_start(f, p, c, page, r);
	/*
	 * Behind the FIN of an answer to HEAD. A client that took so much of
	 * the page and no more comes here too; its retransmission has a payload
	 * and brings it on.
	 */
	if (!p->length && c->offset == page->head + 1)
		return on_end(p, r);
	return on_request(p, c, page, page->length, SEGMENT_MAX, r);
}

#endif
