/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PACE_H
#define MAITRED_PACE_H

#include "burst.h"

/* Where segments of a paced exchange may end, and which comes next: see paced.h. */

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

#endif
