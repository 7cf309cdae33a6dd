/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_LDAP_H
#define MAITRED_LDAP_H

#include "say.h"

/*
 * LDAP (RFC 4511). A response names the number of the request and is of a kind
 * that belongs to the request's. The page is the response to a bind with the
 * number 1: what goes before its result is made anew.
 *
 *     30 length  02 length number  tag length result ...
 *
 * The outer length has two bytes of its own whatever it is, which BER allows
 * (X.690, 8.1.3.5); the number, at most four, has as many as the client gave it.
 */
#define LDAP_NUMBER_MAX 4 /* bytes: RFC 4511, 4.1.1 */

enum ldap_byte {
	LDAP_INTEGER = 0x02,
	LDAP_MESSAGE = 0x30,
	LDAP_LONG = 0x80, /* so many bytes of length follow */
	LDAP_CLASS = 0xc0, /* of a tag, and */
	LDAP_APPLICATION = 0x40, /* that of what is done */
};

#define LDAP_BEFORE 6 /* bytes of the lead before the number */

/* How many bytes a length has, by its first. */
static __always_inline __u32 ldap_length(__u8 first)
{
	return first < LDAP_LONG ? 1 : 1 + (first & 7);
}

/*
 * Reads number and tag to where they go back from, and returns the size of the
 * number; 0: it is no LDAP.
 */
static __always_inline __u32 ldap_read(const struct frame *f,
				       const struct packet *p,
				       struct lead *lead)
{
	__u32 at = p->payload, end = p->payload + p->length;
	__u8 head[2];
	__u64 size;

	if (at + sizeof(head) > end || frame_load(f, at, head, sizeof(head)) ||
	    head[0] != LDAP_MESSAGE)
		return 0;
	at += 1 + ldap_length(head[1]);
	if (at + sizeof(head) > end || frame_load(f, at, head, sizeof(head)) ||
	    head[0] != LDAP_INTEGER || !head[1] || head[1] > LDAP_NUMBER_MAX)
		return 0;
	at += sizeof(head);
	size = head[1] + 1;
	barrier_var(size); /* as in write_payload */
	size = ((size - 1) & 7) + 1;
	if (at + size > end ||
	    frame_load(f, at, lead->bytes + LDAP_BEFORE, size))
		return 0;
	return size - 1;
}

/* The kind of response to a kind of request; 0: it gets none. */
static __always_inline __u8 ldap_response(__u8 tag)
{
	switch (tag) {
	case 0x42: /* unbind */
	case 0x50: /* abandon */
		return 0;
	case 0x4a: /* delete */
		return 0x6b;
	case 0x63: /* search: what it has found in all */
		return 0x65;
	default: /* bind, modify, add, rename, compare, extended */
		return tag + 1;
	}
}

static __always_inline enum verdict speak_ldap(const struct frame *f,
					       const struct packet *p,
					       const struct page *page,
					       struct reply *r)
{
	__u32 at = 1 + ldap_length(page->bytes[1]) + 3; /* of the tag */
	struct lead *lead = the_lead();
	__u32 size, length;
	__u8 *tag;

	if (r->offset)
		return on_end(p, r);
	if (!p->length)
		return on_silence(p, r);
	if (!lead || page->length <= at)
		return on_question(p, r, page->length);
	__builtin_memset(lead, 0, sizeof(*lead));
	size = ldap_read(f, p, lead);
	tag = lead->bytes + LDAP_BEFORE + (size & 7);
	if (!size || (*tag & LDAP_CLASS) != LDAP_APPLICATION)
		return on_question(p, r, page->length);
	*tag = ldap_response(*tag);
	if (!*tag)
		return on_question(p, r, 0);
	length = 2 + size + page->length - at;
	lead->bytes[0] = LDAP_MESSAGE;
	lead->bytes[1] = LDAP_LONG | 2;
	lead->bytes[2] = length >> 8;
	lead->bytes[3] = length;
	lead->bytes[4] = LDAP_INTEGER;
	lead->bytes[5] = size;
	r->lead = LDAP_BEFORE + size + 1;
	r->offset = at + 1;
	return on_question(p, r, page->length - at - 1);
}

#endif
