/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PACED_H
#define MAITRED_PACED_H

#include "burst.h"
#include "select.h"

/*
 * An exchange of a page that has variants, or that is sent by several segments at
 * once. All of what is known of it lies in the offset that the client asks for, so
 * where segments end says what is to come next.
 *
 * A position is an offset moved on by so much that the segments of the variant end
 * at multiples of VARIANT_GRID. Those of a block end at multiples of the segment's
 * size; the block, at a multiple of that times the number of segments in it. An
 * acknowledgement of where a block begins brings all of it. One inside it brings
 * nothing, for the rest is on its way; what has a payload is the client's
 * retransmission, and brings the rest of the block once more.
 *
 * Where there is no room for a block the exchange goes on by single segments: they
 * end GRID bytes before those of a block do, or at any multiple of GRID where the
 * window is small, and so the exchange stays by them.
 */
/*
 * Where no variant is for HTTP, which all pages have that have none of hosts and
 * codings, an exchange is as if there were none but at a few places: what begins
 * with no method is looked at here (see on_start), and so is an offset that what
 * is said to TLS may have come to, or a small window would come to.
 */
static __always_inline bool is_paced(const struct packet *p,
				     const struct page *page,
				     const struct cookie *c)
{
	if (page->speech != SPEECH_HTTP)
		return false;
	if (is_varied(page) ||
	    (page->burst > 1 && page->length > segment_size(c->class)))
		return true;
	return page->variants &&
	       (p->window < GRID || c->offset > page->length + 1 ||
		(c->offset && c->offset <= page->variant[0].length + 1U));
}

struct pace {
	__u32 offset;
	__u32 shift; /* from an offset to its position */
	__u32 length; /* of what is sent */
	__u32 head;
	__u32 size; /* of a segment within a block */
	__u32 most; /* of a last segment, which may end anywhere */
	__u32 burst; /* segments of a block */
	__u32 slack; /* how much before those of a block a single one ends */
	__u32 end; /* of what is to be sent next, and more of it */
	bool part; /* there is no FIN at the end */
	bool xdp;
};

static __always_inline bool is_end(__u32 from, __u32 to, __u32 at, __u32 shift,
				   __u32 size)
{
	return at > from && at <= to && (at + shift) % size == 0;
}

/*
 * Whether an answer ends, with its FIN, behind from and not behind to, where the
 * position is a multiple of size. At such an offset all has been said, whatever
 * variant it was, so no other segment ends there.
 */
__noinline bool ends_within(const struct page *page, __u32 from, __u32 to,
			    __u32 shift, __u32 size)
{
	if (!page || !size)
		return false;
	if (is_end(from, to, page->length + 1, shift, size) ||
	    (page->head && is_end(from, to, page->head + 1, shift, size)))
		return true;
	for (__u32 i = 0; i < VARIANTS_MAX && i < page->variants; i++) {
		const struct variant *v = &page->variant[i];

		if (is_end(from, to, v->length + 1, shift, size) ||
		    (v->head && is_end(from, to, v->head + 1, shift, size)))
			return true;
	}
	return false;
}

static __always_inline bool ends_at(const struct page *page, __u32 at)
{
	return ends_within(page, at - 1, at, 0, 1);
}

/* What begins an exchange. */
static __always_inline enum request paced_start(const struct frame *f,
						const struct packet *p,
						const struct page *page,
						__u32 *variant)
{
	enum request request = request_of(f, p);

	if (!page->variants)
		return request;
	if (request != REQUEST_OTHER) {
		if (page->variant[0].opening == OPENING_HTTP && scan_take(f, p))
			*variant = select_http(page);
	} else if (is_hello(f, p)) {
		*variant = select_tls(page);
		if (*variant)
			request = REQUEST_HELLO;
	}
	return request;
}

/* False where there is no such variant, or it is not that long. */
static __always_inline bool pace_variant(struct pace *c,
					 const struct page *page, __u32 variant,
					 struct reply *r)
{
	__u32 i = variant - 1;

	c->length = page->length;
	c->head = page->head;
	c->size = c->most = segment_size(r->class);
	c->burst = page->burst > BURST_MAX ? BURST_MAX : page->burst;
	if (is_varied(page)) {
		c->size -= c->size % VARIANT_GRID;
		c->shift = VARIANT_GRID - variant;
	}
	if (variant) {
		if (variant > page->variants || i >= VARIANTS_MAX)
			return false;
		c->length = page->variant[i].length;
		c->head = page->variant[i].head;
		r->page = page->variant[i].slot;
	}
	c->slack = c->burst > 1 ? GRID : 0;
	return c->offset <= c->length;
}

/* See ours(): one at which a segment of ours ends. */
static __always_inline bool is_likely(const struct pace *c)
{
	__u32 position = c->offset + c->shift;

	return c->offset <= 2 * VARIANT_GRID || c->offset == c->length ||
	       c->offset == c->head || position % GRID == 0 ||
	       position % c->size == 0 || (position + c->slack) % c->size == 0;
}

/* The last offset, going back from end, where a segment may end: see pace_one. */
__noinline __u32 pace_back(const struct page *page, const struct pace *c,
			   __u32 end, __u32 grid)
{
	if (!page || !c || !c->size)
		return 0;
	for (int i = 0; i < 8 && end > c->offset; i++) {
		if (!ends_at(page, end) &&
		    (!c->slack || (end + c->shift) % c->size))
			return end;
		end -= end > grid ? grid : end;
	}
	return c->offset;
}

/*
 * One segment: the last, where the window has room for the FIN, too. Any other
 * ends where the variant's do, and neither where an answer does nor, unless it is
 * of a block, where those of a block do.
 */
__noinline enum verdict pace_one(const struct packet *p,
				 const struct page *page, const struct pace *c,
				 struct reply *r)
{
	if (!p || !page || !c || !r || !c->size)
		return DROP_ERROR;

	__u32 position = c->offset + c->shift;
	__u32 length = c->size - (position + c->slack) % c->size;
	__u32 grid = is_varied(page) ? VARIANT_GRID : 1;
	__u32 most = c->end - c->offset;
	__u32 end;

	if (!c->part && most <= c->most && most < p->window) {
		r->ack = client_end(p);
		r->flags = TCP_ACK | TCP_PSH | TCP_FIN;
		r->length = most;
		return ANSWER_LAST;
	}
	if (most > p->window)
		most = p->window;
	if (length >= most) {
		length = most;
		if (length >= GRID)
			grid = GRID;
	}
	end = c->offset + length;
	if (length == most)
		end -= (position + length) % grid;
	end = pace_back(page, c, end, grid);
	if (end <= c->offset) {
		/* There is room behind that end, then. */
		grid = is_varied(page) ? VARIANT_GRID : 1;
		end = position + (most < c->size ? most : c->size);
		end = pace_back(page, c, end - end % grid - c->shift, grid);
	}
	if (end <= c->offset)
		return DROP_WINDOW;
	r->ack = client_end(p) - 1;
	r->flags = TCP_ACK | TCP_PSH;
	r->length = end - c->offset;
	return ANSWER_SEGMENT;
}

/*
 * The rest of a block, which has more than one segment. None of them acknowledges
 * all, not even the one with the FIN: the others may be lost on the way.
 */
static __always_inline enum verdict pace_block(const struct packet *p,
					       const struct pace *c, __u32 end,
					       struct reply *r)
{
	r->ack = client_end(p) - 1;
	r->flags = TCP_ACK | TCP_PSH;
	r->length = c->size - (c->offset + c->shift) % c->size;
	r->size = c->size;
	r->end = end;
	r->fin = end == c->length;
	return r->fin ? ANSWER_LAST : ANSWER_SEGMENT;
}

/* What is asked for of the page itself; PARSED: one segment of it. */
__noinline enum verdict pace_page(const struct packet *p,
				  const struct page *page, struct pace *c,
				  struct reply *r)
{
	__u32 position, block, end;
	bool silent;

	if (!p || !page || !c || !r)
		return DROP_ERROR;
	silent = !p->length && !(p->flags & TCP_FIN);
	position = c->offset + c->shift;
	block = c->size * c->burst;
	if (c->burst < 2 || (c->offset && position % c->size))
		return PARSED;
	if (silent && position % block)
		return DROP_ACK;
	end = position - position % block + block - c->shift;
	if (end > c->length)
		end = c->length;
	if (end - c->offset <= c->size - position % c->size ||
	    end - c->offset >= p->window ||
	    ends_within(page, c->offset, end, c->shift, c->size))
		return PARSED;
	switch (burst_fate(p, c->xdp)) {
	case BURST_SEND:
		return pace_block(p, c, end, r);
	case BURST_DEFER:
		return PASS_DEFERRED;
	case BURST_RECENT:
		if (silent)
			return DROP_ACK;
		c->slack = 0;
		break;
	case BURST_DENY:
		break;
	}
	return PARSED;
}

/* The client has nothing of the page yet: see on_start. */
static __always_inline enum verdict
pace_start(const struct packet *p, const struct page *page, struct pace *c,
	   enum request request, struct reply *r)
{
	if (!p->length && !(p->flags & TCP_FIN))
		return DROP_ACK;
	switch (request) {
	case REQUEST_HEAD:
		c->end = c->offset + c->head;
		return p->window <= c->head ? DROP_WINDOW : PARSED;
	case REQUEST_HELLO: /* all at once, so that no offset is within it */
		return p->window <= c->length ? DROP_WINDOW : PARSED;
	case REQUEST_METHOD:
		return pace_page(p, page, c, r);
	case REQUEST_OTHER:
		break;
	}
	c->part = true;
	if (page->variants)
		c->end = page->alike;
	else if (c->head)
		c->end = c->head;
	return c->end ? PARSED : DROP_PARTIAL;
}

/* By what is asked for, once what is of no exchange has been told from it. */
static __always_inline enum verdict pace(const struct packet *p,
					 const struct page *page,
					 struct pace *c, enum request request,
					 struct reply *r)
{
	enum verdict v;

	if (p->flags & TCP_RST)
		return DROP_RESET;
	c->end = c->length;
	/*
	 * Who has had no more than what all have alike may have been answered by
	 * a variant since, and is to find nothing new in this.
	 */
	if (page->variants && c->offset == page->alike && c->offset) {
		c->end = 2 * c->offset;
		c->part = true;
	}
	v = c->offset ? pace_page(p, page, c, r) :
			pace_start(p, page, c, request, r);
	if (v != PARSED)
		return v;
	v = pace_one(p, page, c, r);
	if (c->offset || v == DROP_WINDOW)
		return v;
	if (request == REQUEST_HEAD)
		return ANSWER_HEAD;
	return v == ANSWER_SEGMENT && !p->length ? ANSWER_CLOSE : v;
}

/* As judge() has it of what is of no exchange. */
static __always_inline enum verdict foreign(const struct packet *p,
					    const struct service *svc,
					    struct reply *r,
					    enum service_mode mode)
{
	__u32 zero = 0;
	const struct setting *s = bpf_map_lookup_elem(&settings, &zero);

	if (mode != MODE_SORRY || !s)
		return PASS_LINGER;
	r->page = 0;
	return on_orphan(p, s, svc, r);
}

static __always_inline enum verdict
paced(const struct frame *f, const struct packet *p, const struct service *svc,
      struct reply *r, enum service_mode mode)
{
	const struct page *page = page_at(r->page);
	struct pace c = { .offset = r->offset, .xdp = f->xdp };
	enum request request = REQUEST_OTHER;
	__u32 variant = c.offset % VARIANT_GRID;

	bool ours = page && p->payload == p->l4 + sizeof(struct tcphdr);

	r->seq = p->ack;
	if (ours && ends_at(page, c.offset))
		return p->flags & TCP_RST ? DROP_RESET : on_end(p, r);
	if (ours && !is_varied(page))
		variant = 0;
	if (ours && c.offset == 0 && p->length && !(p->flags & TCP_RST))
		request = paced_start(f, p, page, &variant);
	if (ours && pace_variant(&c, page, variant, r) &&
	    (is_likely(&c) ||
	     (mode == MODE_SORRY && svc->orphans != ORPHAN_PASS)))
		return pace(p, page, &c, request, r);
	return foreign(p, svc, r, mode);
}

#endif
