/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SPEECH_H
#define MAITRED_SPEECH_H

#include "dns.h"
#include "http2.h"
#include "ldap.h"
#include "postgres.h"
#include "say.h"
#include "twice.h"

/*
 * Apologies in other protocols than HTTP. They are a step of their own behind
 * the one that has found the page: what that step returns for it is no verdict
 * yet.
 */
#define SPEAK (PARSED + 1)

/*
 * All of the page at the first byte, whatever it is. A FIN without one gets it,
 * too, for the bytes before may have been lost.
 */
static __always_inline enum verdict speak_any(const struct packet *p,
					      const struct reply *r)
{
	if (!p->length && !(p->flags & TCP_FIN) && r->offset == 0)
		return DROP_ACK;
	return PARSED;
}

/* What the protocol has to say; PARSED: of the page what comes next. */
static __always_inline enum verdict speak_as(const struct frame *f,
					     const struct packet *p,
					     const struct page *page,
					     struct reply *r)
{
	switch (page->speech) {
	case SPEECH_ANY:
		return speak_any(p, r);
	case SPEECH_POSTGRES:
		return speak_postgres(f, p, page, r);
	case SPEECH_HTTP2:
		return speak_http2(f, p, page, r);
	case SPEECH_LDAP:
		return speak_ldap(f, p, page, r);
	case SPEECH_DNS:
		return speak_dns(f, p, r);
	case SPEECH_GREETING:
		return PARSED;
	default:
		return DROP_ACK;
	}
}

/*
 * Goes on with an exchange whose packet has been found to be one of it.
 *
 * A greeting is all of the page at the end of the handshake, and again at whatever
 * shows that the client has nothing of it. From one who has said nothing nothing
 * can be withheld, either: no timer of its runs.
 */
static __always_inline enum verdict
speak(const struct frame *f, const struct packet *p, struct reply *r)
{
	const struct cookie c = { .class = r->class, .offset = r->offset };
	const struct page *page = page_at(r->page);
	enum verdict v;

	if (!page)
		return DROP_ACK;
	v = speak_as(f, p, page, r);
	if (v != PARSED)
		return v;
	if (c.offset > page->length)
		return on_end(p, r);
	v = on_request(p, &c, page, page->length, SEGMENT_MAX, r);
	if (page->speech != SPEECH_GREETING || client_end(p) != p->seq)
		return v;
	r->ack = p->seq;
	return v == ANSWER_LAST ? twice(f, r, v) : v;
}

#endif
