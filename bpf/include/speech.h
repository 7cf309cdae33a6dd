/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SPEECH_H
#define MAITRED_SPEECH_H

#include "dns.h"
#include "ldap.h"
#include "postgres.h"
#include "say.h"

/*
 * Apologies in other protocols than HTTP. They are a step of their own behind
 * the one that has found the page: what that step returns for it is no verdict
 * yet.
 */
#define SPEAK (PARSED + 1)

/* All of the page at the first byte, and what is asked for of it after that. */
static __always_inline enum verdict speak_any(const struct packet *p,
					      const struct cookie *c,
					      const struct page *page,
					      struct reply *r)
{
	if (c->offset > page->length)
		return on_end(p, r);
	if (!p->length && !(p->flags & TCP_FIN) && c->offset == 0)
		return DROP_ACK;
	return on_request(p, c, page, page->length, SEGMENT_MAX, r);
}

/*
 * All of the page at the end of the handshake, and again at whatever shows that
 * the client has nothing of it. What the client has not sent is not withheld
 * from it, either: no timer of its runs.
 */
static __always_inline enum verdict speak_greeting(const struct packet *p,
						   const struct cookie *c,
						   const struct page *page,
						   struct reply *r)
{
	enum verdict v;

	if (c->offset > page->length)
		return on_end(p, r);
	v = on_request(p, c, page, page->length, SEGMENT_MAX, r);
	if (v == ANSWER_SEGMENT && client_end(p) == p->seq)
		r->ack = p->seq;
	return v;
}

/* Goes on with an exchange whose packet has been found to be one of it. */
static __always_inline enum verdict
speak(const struct frame *f, const struct packet *p, struct reply *r)
{
	const struct cookie c = { .class = r->class, .offset = r->offset };
	const struct page *page = page_at(r->page);

	if (!page)
		return DROP_ACK;
	switch (page->speech) {
	case SPEECH_ANY:
		return speak_any(p, &c, page, r);
	case SPEECH_GREETING:
		return speak_greeting(p, &c, page, r);
	case SPEECH_POSTGRES:
		return speak_postgres(f, p, page, r);
	case SPEECH_LDAP:
		return speak_ldap(f, p, page, r);
	case SPEECH_DNS:
		return speak_dns(f, p, r);
	default:
		return DROP_ACK;
	}
}

#endif
