/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PACED_H
#define MAITRED_PACED_H

#include "pace.h"
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
