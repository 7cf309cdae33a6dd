/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_TCP_H
#define MAITRED_TCP_H

#include "cookie.h"
#include "transport.h"

enum tcp_option {
	OPTION_END,
	OPTION_NOP,
	OPTION_MSS,
};

/* What is to be said to the client, before it is bytes. */
struct reply {
	__u32 seq;
	__u32 ack;
	__u32 offset; /* of the payload within the page; without one its sum */
	__u32 length; /* of the payload, 0 to SEGMENT_MAX */
	__u16 page; /* its slot; 0: the payload stays as it came */
	__u16 mss; /* 0: no option */
	__u8 flags; /* 0: nothing is to be said */
	__u8 class; /* of the exchange */
	__u8 lead; /* bytes that come before the payload: struct lead */
	bool again; /* the frame is an answer already */
	/* Of a burst, whose first segment is the above. */
	__u32 end; /* offset behind the last; 0: there is no other segment */
	__u16 size; /* of the segments that follow */
	bool fin; /* the last has one */
	bool twice; /* it is sent so */
};

/* The end of what the client has sent: a FIN counts as one byte. */
static __always_inline __u32 client_end(const struct packet *p)
{
	return p->seq + p->length + (p->flags & TCP_FIN ? 1 : 0);
}

enum request {
	REQUEST_OTHER, /* the rest of a request, or no HTTP */
	REQUEST_HEAD,
	REQUEST_METHOD, /* one that is answered with a body */
	REQUEST_HELLO, /* of TLS, which the page has something to say to */
};

#define PACED \
	(PARSED + 2) /* a step of its own is to tell the verdict: paced.h */

/* Whether it has variants for HTTP, which come before those for TLS. */
static __always_inline bool is_varied(const struct page *page)
{
	return page->variants && page->variant[0].opening == OPENING_HTTP;
}

#define WORD(a, b, c, d) ((a) << 24 | (b) << 16 | (c) << 8 | (d))

static __always_inline enum request request_of(const struct frame *f,
					       const struct packet *p)
{
	__u8 m[5] = {};

	if (p->length < sizeof(m) || frame_read(f, p->payload, m, sizeof(m)))
		return REQUEST_OTHER;
	switch (WORD((__u32)m[0], m[1], m[2], m[3])) {
	case WORD('H', 'E', 'A', 'D'):
		return m[4] == ' ' ? REQUEST_HEAD : REQUEST_OTHER;
	case WORD('G', 'E', 'T', ' '):
	case WORD('P', 'O', 'S', 'T'):
	case WORD('P', 'U', 'T', ' '):
	case WORD('P', 'A', 'T', 'C'):
	case WORD('D', 'E', 'L', 'E'):
	case WORD('O', 'P', 'T', 'I'):
	case WORD('T', 'R', 'A', 'C'):
	case WORD('C', 'O', 'N', 'N'):
	case WORD('Q', 'U', 'E', 'R'):
	case WORD('P', 'R', 'O', 'P'): /* WebDAV: RFC 4918, 3253, 5323 */
	case WORD('M', 'K', 'C', 'O'):
	case WORD('C', 'O', 'P', 'Y'):
	case WORD('M', 'O', 'V', 'E'):
	case WORD('L', 'O', 'C', 'K'):
	case WORD('U', 'N', 'L', 'O'):
	case WORD('R', 'E', 'P', 'O'):
	case WORD('S', 'E', 'A', 'R'):
		return REQUEST_METHOD;
	default:
		return REQUEST_OTHER;
	}
}

/*
 * The client has all that it gets: what it still sends is acknowledged and
 * forgotten, for a reset could take the page out of its hands. What says
 * nothing is not answered, or two ends would acknowledge each other for ever.
 */
static __always_inline enum verdict on_end(const struct packet *p,
					   struct reply *r)
{
	if (!p->length && !(p->flags & TCP_FIN))
		return DROP_DONE;
	r->ack = client_end(p);
	r->flags = TCP_ACK;
	return ANSWER_ACK;
}

#define GRID 64U

/*
 * The part of the page that begins at the offset that the client asks for, up
 * to end, at most bytes long. All segments but the last leave the client's last
 * byte unacknowledged: then its retransmission timer is ours, and a lost
 * segment is asked for again by a client that would otherwise wait for ever.
 *
 * A segment ends where a multiple of its class's size is, or of GRID bytes where
 * the window is too small for that, so that few offsets are ever acknowledged.
 *
 * The FIN needs room in the window like a byte. A client answers what is beyond
 * its window with an ACK that names the same offset again (RFC 9293, 3.10.7.4),
 * and neither side would ever stop.
 */
static __always_inline enum verdict
on_request(const struct packet *p, const struct cookie *c,
	   const struct page *page, __u32 end, __u32 most, struct reply *r)
{
	__u32 rest = end - c->offset;
	__u32 size = segment_size(c->class);
	__u32 length = size - c->offset % size;

	if (length > most)
		length = most;
	if (rest <= length && rest < p->window) {
		r->ack = client_end(p);
		r->flags = TCP_ACK | TCP_PSH | TCP_FIN;
		r->length = rest;
		return ANSWER_LAST;
	}
	if (length > rest)
		length = rest;
	if (length > p->window) {
		length = p->window;
		if (length >= GRID)
			length -= (c->offset + length) % GRID;
	}
	/* That offset is the end of an answer to HEAD: see on_exchange. */
	if (length && c->offset + length == page->head + 1)
		length--;
	if (length == 0)
		return DROP_WINDOW;
	r->ack = client_end(p) - 1;
	r->flags = TCP_ACK | TCP_PSH;
	r->length = length;
	return ANSWER_SEGMENT;
}

/*
 * The client has nothing of the page yet. What does not begin with a method may
 * follow a HEAD that has had its header and FIN already, and so may a FIN
 * alone: to send more than the header would be to send behind our own FIN, for
 * which Linux resets the connection. The header alone suits both; whoever wants
 * the body asks for it with the acknowledgement.
 *
 * A FIN is not answered with a FIN: the request before it may have been lost or
 * overtaken, and its sender would take the page to be empty.
 */
static __always_inline enum verdict
on_start(const struct frame *f, const struct packet *p, const struct cookie *c,
	 const struct page *page, struct reply *r)
{
	__u32 most = SEGMENT_MAX;
	enum verdict v;

	if (!p->length && !(p->flags & TCP_FIN))
		return DROP_ACK;
	switch (request_of(f, p)) {
	case REQUEST_HEAD:
		/* one segment: MaxHead sees to that */
		if (p->window <= page->head)
			return DROP_WINDOW;
		on_request(p, c, page, page->head, most, r);
		return ANSWER_HEAD;
	case REQUEST_METHOD:
	case REQUEST_HELLO:
		break;
	case REQUEST_OTHER:
		if (page->variants)
			return PACED;
		if (page->head)
			most = page->head;
	}
	v = on_request(p, c, page, page->length, most, r);
	return v == ANSWER_SEGMENT && !p->length ? ANSWER_CLOSE : v;
}

/*
 * Whether a segment in another protocol than HTTP may end there: those that say
 * something before the question do within the head, and postgres says all but
 * the head then.
 */
static __always_inline bool speech_stops(const struct page *page, __u32 offset)
{
	return page->speech != SPEECH_HTTP &&
	       (offset <= page->head || offset + page->head >= page->length);
}

/*
 * Tells a packet of an exchange from one of a connection to a real server whose
 * acknowledgement has come upon one of our numbers. We negotiate no option, so
 * whoever sends one (timestamps, mostly) speaks to somebody else; where packets
 * of others are passed on, the offset must also be one at which a segment of
 * ours ends.
 */
static __always_inline bool
ours(const struct packet *p, const struct service *svc, const struct cookie *c,
     const struct page *page, enum service_mode mode)
{
	if (p->payload != p->l4 + sizeof(struct tcphdr))
		return false;
	if (mode == MODE_SORRY && svc->orphans != ORPHAN_PASS)
		return true;
	return c->offset % GRID == 0 ||
	       c->offset % segment_size(c->class) == 0 ||
	       c->offset >= page->length || c->offset == page->head ||
	       c->offset == page->head + 1 || speech_stops(page, c->offset);
}

#define RESET_WINDOW_NS 100000000ULL

/* The clock is read here only: it costs more than the rest of a short answer. */
static __always_inline bool within(struct budget *b, __u64 length, __u32 limit)
{
	__u64 window = bpf_ktime_get_coarse_ns() / length;

	if (b->window != window) {
		b->window = window;
		b->used = 0;
	}
	if (b->used >= limit)
		return false;
	b->used++;
	return true;
}

static __always_inline bool may_reset(const struct setting *s)
{
	__u32 zero = 0;
	struct budget *b = bpf_map_lookup_elem(&resets, &zero);

	return b && within(b, RESET_WINDOW_NS, s->reset_limit);
}

/* A connection from before the outage: RFC 9293, 3.5.2 has the numbers. */
static __always_inline enum verdict on_orphan(const struct packet *p,
					      const struct setting *s,
					      const struct service *svc,
					      struct reply *r)
{
	if (svc->orphans == ORPHAN_PASS)
		return PASS_ORPHAN;
	if (p->flags & TCP_RST || svc->orphans == ORPHAN_DROP ||
	    !sent_by_one(p))
		return DROP_ORPHAN;
	if (!may_reset(s))
		return DROP_LIMIT;
	r->seq = p->ack;
	r->flags = TCP_RST;
	return ANSWER_RESET;
}

#endif
