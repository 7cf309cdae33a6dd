/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SPEECH_H
#define MAITRED_SPEECH_H

#include "tcp.h"

/* All of the page at the first byte, and what is asked for of it after that. */
static __always_inline enum verdict speak_any(const struct packet *p,
					      const struct cookie *c,
					      const struct page *page,
					      struct reply *r)
{
	if (!p->length && !(p->flags & TCP_FIN) && c->offset == 0)
		return DROP_ACK;
	return on_request(p, c, page, page->length, SEGMENT_MAX, r);
}

/*
 * An exchange by another protocol than HTTP; the end of the page has been seen
 * to already.
 */
static __always_inline enum verdict
speak(const struct frame *f, const struct packet *p, const struct cookie *c,
      const struct page *page, struct reply *r)
{
	(void)f;
	switch (page->speech) {
	case SPEECH_ANY:
		return speak_any(p, c, page, r);
	default:
		return DROP_ACK;
	}
}

#endif
