/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SAY_H
#define MAITRED_SAY_H

#include "tcp.h"

/*
 * What protocols say in which a client asks before it asks its question. Each
 * part is one segment, and no timer but the client's brings it back: it is
 * acknowledged along with what it answers, so that either both are lost or none.
 */

/*
 * Nothing was said yet. A FIN is that of a client who wanted to see whether there
 * is anybody: who asks a question of these protocols waits for the answer.
 */
static __always_inline enum verdict on_silence(const struct packet *p,
					       struct reply *r)
{
	if (!(p->flags & TCP_FIN))
		return DROP_ACK;
	r->ack = client_end(p);
	r->flags = TCP_ACK | TCP_PSH | TCP_FIN;
	r->length = 0;
	return ANSWER_LAST;
}

/* To what comes before the question, up to end: what is due, from r->offset. */
static __always_inline enum verdict
on_turn(const struct packet *p, struct reply *r, __u32 length, __u32 end)
{
	__u32 size = r->lead + length;

	if (size > p->window)
		return DROP_WINDOW;
	r->ack = end;
	r->flags = TCP_ACK | (size ? TCP_PSH : 0);
	r->length = length;
	return size ? ANSWER_TURN : ANSWER_ACK;
}

/* To the question: all that is left to say, from r->offset, and the FIN. */
static __always_inline enum verdict on_question(const struct packet *p,
						struct reply *r, __u32 length)
{
	if (r->lead + length >= p->window)
		return DROP_WINDOW;
	r->ack = client_end(p);
	r->flags = TCP_ACK | TCP_PSH | TCP_FIN;
	r->length = length;
	return ANSWER_LAST;
}

#endif
