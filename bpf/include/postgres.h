/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_POSTGRES_H
#define MAITRED_POSTGRES_H

#include "say.h"

/*
 * PostgreSQL (its documentation, 54.2.1 and 54.7). A client may wish for GSSAPI
 * and for TLS before it says who it is, and goes on only when either has been
 * refused with a byte. So the page begins with one such byte for each: that is
 * its head. What comes after that is the error, which is said to anything else,
 * and at the place in the stream that the client has come to.
 *
 * A cookie of 0 to head is thus a question, and any beyond it the end.
 */
#define POSTGRES_WISH 8 /* bytes; the length, then the code */
#define POSTGRES_TLS 80877103
#define POSTGRES_GSSAPI 80877104

static __always_inline bool is_wish(const struct frame *f,
				    const struct packet *p)
{
	__be32 words[2];

	if (p->length != POSTGRES_WISH || p->flags & TCP_FIN ||
	    frame_load(f, p->payload, words, sizeof(words)))
		return false;
	return words[0] == bpf_htonl(POSTGRES_WISH) &&
	       (words[1] == bpf_htonl(POSTGRES_TLS) ||
		words[1] == bpf_htonl(POSTGRES_GSSAPI));
}

static __always_inline enum verdict speak_postgres(const struct frame *f,
						   const struct packet *p,
						   const struct page *page,
						   struct reply *r)
{
	if (r->offset > page->head)
		return on_end(p, r);
	if (!p->length)
		return on_silence(p, r);
	if (r->offset < page->head && is_wish(f, p))
		return on_turn(p, r, 1, client_end(p));
	r->offset = page->head;
	return on_question(p, r, page->length - page->head);
}

#endif
