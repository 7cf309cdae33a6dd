/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SELECT_H
#define MAITRED_SELECT_H

#include "scan.h"

/* Which variant of a page suits a client, by the first segment that it sends. */

static __always_inline bool suits(const struct variant *v, const struct scan *s)
{
	return (!v->host || v->host == s->host) &&
	       (v->coding == CODING_NONE ||
		(s->accepted & ~s->refused) >> (v->coding & 7) & 1);
}

/* The number of the first variant that suits, 0 for the page itself. */
__noinline __u32 select_http(const struct page *page)
{
	const struct scan *s = scan();

	if (!s || !page)
		return 0;
	for (__u32 i = 0; i < VARIANTS_MAX && i < page->variants; i++) {
		const struct variant *v = &page->variant[i];

		if (v->opening == OPENING_HTTP && suits(v, s))
			return i + 1;
	}
	return 0;
}

/* The one for TLS is the last, if there is one. */
static __always_inline __u32 select_tls(const struct page *page)
{
	__u32 i = page->variants - 1;

	return i < VARIANTS_MAX && page->variant[i].opening == OPENING_TLS ?
		       page->variants :
		       0;
}

/* A record with a ClientHello: RFC 8446, 4.1.2 and 5.1. */
static __always_inline bool is_hello(const struct frame *f,
				     const struct packet *p)
{
	__u8 m[6] = {};

	if (p->length < sizeof(m) || frame_load(f, p->payload, m, sizeof(m)))
		return false;
	return m[0] == 22 && m[1] == 3 && m[5] == 1;
}

#endif
