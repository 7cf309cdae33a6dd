/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_DNS_H
#define MAITRED_DNS_H

#include "headers.h"
#include "say.h"
#include "sum.h"

/*
 * DNS (RFC 1035). The answer is the question itself with two bytes of its header
 * changed: it is a response, and the server has failed. All sections stay, and so
 * does the client's EDNS (RFC 6891): the message is as well formed as it was.
 *
 * A response is never answered, or two of us would talk for ever.
 *
 * Over TCP a message comes behind its length. Most clients send both at once.
 * Some send the length first, and may wait for it to be acknowledged: they get
 * the length of the answer, which is the same. An offset of 2 thus says that a
 * message follows, one of 0 that a length does, and all others are the end.
 */
#define DNS_PREFIX 2

struct dns {
	__be16 id;
	__u8 flags;
	__u8 code;
	__be16 questions;
	__be16 answers;
	__be16 authorities;
	__be16 additionals;
};

enum dns_bits {
	DNS_RESPONSE = 0x80, /* in flags */
	DNS_OPCODE = 0x78,
	DNS_RECURSE = 0x01,
	DNS_UNCHECKED = 0x10, /* in code: RFC 4035, 3.2.2 */
	DNS_FAILED = 2,
};

/*
 * A query, as far as can be told. One without a question has a kind of its own
 * (RFC 8490, 5.4); the middle of a message looks like one of the first kind.
 */
static __always_inline bool dns_asks(const struct dns *d)
{
	return !(d->flags & DNS_RESPONSE) &&
	       (d->questions || d->flags & DNS_OPCODE);
}

static __always_inline void dns_fail(struct dns *d)
{
	d->flags = (d->flags & (DNS_OPCODE | DNS_RECURSE)) | DNS_RESPONSE;
	d->code = (d->code & DNS_UNCHECKED) | DNS_FAILED;
}

/* The length alone: it is the answer's, too. */
static __always_inline enum verdict
dns_length(const struct frame *f, const struct packet *p, struct reply *r)
{
	struct lead *lead = the_lead();

	if (!lead || p->flags & TCP_FIN)
		return DROP_PARTIAL;
	__builtin_memset(lead, 0, sizeof(*lead));
	if (frame_load(f, p->payload, lead->bytes, DNS_PREFIX))
		return DROP_ERROR;
	r->lead = DNS_PREFIX;
	return on_turn(p, r, 0, client_end(p));
}

/*
 * tc can't take headers out where a tag stands in the data, without the rest of
 * the packet moving: see frame_strip.
 */
static __always_inline bool stays(const struct frame *f, const struct packet *p)
{
	return f->xdp || p->l3 == ETH_HLEN ||
	       p->l4 - p->l3 == ip_header_size(p);
}

/*
 * A message, behind its length or not. One that does not end here gets its header
 * alone back, for its sender may never come to send it whole; and so does one that
 * is more than a segment that its sender takes.
 */
static __always_inline enum verdict dns_message(const struct frame *f,
						const struct packet *p,
						struct reply *r, bool behind)
{
	__u32 prefix = behind ? DNS_PREFIX : 0;
	__u32 size = p->length - prefix;
	struct lead *lead = the_lead();
	__be16 length = 0;
	struct dns d;

	if (!lead || p->length < prefix + sizeof(d) ||
	    frame_load(f, p->payload + prefix, &d, sizeof(d)) ||
	    frame_load(f, p->payload, &length, sizeof(length)))
		return DROP_PARTIAL;
	if (!dns_asks(&d) || (behind && bpf_ntohs(length) < sizeof(d)))
		return DROP_PARTIAL;
	dns_fail(&d);
	if (behind && bpf_ntohs(length) <= size)
		size = bpf_ntohs(length);
	else if (behind)
		size = 0;
	if (size < sizeof(d) || prefix + size > segment_size(r->class) ||
	    !stays(f, p)) {
		size = sizeof(d);
		d.questions = d.answers = d.authorities = d.additionals = 0;
	}
	__builtin_memset(lead, 0, sizeof(*lead));
	if (behind) {
		length = bpf_htons(size);
		__builtin_memcpy(lead->bytes, &length, sizeof(length));
		__builtin_memcpy(lead->bytes + sizeof(length), &d, sizeof(d));
	} else {
		__builtin_memcpy(lead->bytes, &d, sizeof(d));
	}
	r->lead = prefix + sizeof(d);
	r->page = 0;
	r->offset = sum_part(f, p->payload + r->lead, size - sizeof(d));
	return on_question(p, r, size - sizeof(d));
}

static __always_inline enum verdict
speak_dns(const struct frame *f, const struct packet *p, struct reply *r)
{
	bool behind = r->offset == 0;

	if (!behind && r->offset != DNS_PREFIX)
		return on_end(p, r);
	if (!p->length)
		return on_silence(p, r);
	if (behind && p->length == DNS_PREFIX)
		return dns_length(f, p, r);
	return dns_message(f, p, r, behind);
}

#endif
