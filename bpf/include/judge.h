/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_JUDGE_H
#define MAITRED_JUDGE_H

#include "exchange.h"
#include "paced.h"
#include "syn.h"
#include "twice.h"

static __always_inline bool is_new(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && p->part == PART_WHOLE &&
	       (p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static __always_inline bool greets(const struct service *svc)
{
	const struct page *page = page_at(svc->page[svc->current & 1]);

	return page && page->speech == SPEECH_GREETING;
}

/*
 * Asked anew each time: clang would keep the answer, and the verifier go through
 * all that comes after with both.
 */
static __always_inline bool is_sorry(enum service_mode mode)
{
	barrier_var(mode);
	return mode == MODE_SORRY;
}

/*
 * A new connection. Which of them are turned away while others are admitted goes by
 * the hash in the cookie, which has no part but the two ends, the key and the page:
 * a SYN that is sent again meets the same fate.
 */
static __always_inline enum verdict
judge_new(const struct frame *f, const struct packet *p,
	  const struct service *svc, struct reply *r, enum service_mode mode)
{
	__u32 zero = 0;
	const struct setting *s = bpf_map_lookup_elem(&settings, &zero);
	enum verdict v;

	if (is_sorry(mode) && !sent_by_one(p))
		return PASS_MALFORMED;
	if (!s || !svc->page[svc->current & 1])
		return mode == MODE_SORRY ? PASS_NO_PAGE : PASS_LINGER;
	if (mode == MODE_LINGER)
		return PASS_LINGER;
	v = on_syn(f, p, s, svc, r);
	if (mode == MODE_SORRY || (r->seq & ~COOKIE_FIELD) < svc->shed)
		return greets(svc) ? twice(f, r, v) : v;
	r->flags = 0;
	return PASS_LINGER;
}

/*
 * What a packet to a service that is not simply serving deserves. In any mode but
 * MODE_SORRY, what is of no exchange is the real servers'.
 */
static __always_inline enum verdict
judge(const struct frame *f, const struct packet *p, const struct service *svc,
      struct reply *r, enum service_mode mode)
{
	const struct page *page;
	struct cookie c = {};
	__u32 zero = 0;
	const struct setting *s = bpf_map_lookup_elem(&settings, &zero);

	if (p->protocol != IPPROTO_TCP && is_sorry(mode)) {
		r->page = svc->page[svc->current & 1];
		return r->page ? SPEAK : PASS_NO_PAGE;
	}
	if (p->protocol != IPPROTO_TCP)
		return PASS_LINGER;
	if (!s || !svc->page[svc->current & 1])
		return is_sorry(mode) ? PASS_NO_PAGE : PASS_LINGER;
	if (p->part == PART_FIRST && is_sorry(mode))
		return svc->orphans == ORPHAN_PASS ? PASS_ORPHAN :
						     DROP_FRAGMENT;
	if (p->part == PART_FIRST)
		return PASS_LINGER;
	if (!(p->flags & (TCP_ACK | TCP_RST)) ||
	    (p->flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN))
		return is_sorry(mode) ? DROP_FLAGS : PASS_LINGER;
	if (p->flags & TCP_ACK && !(p->flags & TCP_SYN)) {
		page = cookie_read(p, s, svc, &c);
		if (page && is_paced(p, page, &c)) {
			r->page = c.page;
			r->offset = c.offset;
			r->class = c.class;
			return PACED;
		}
		if (page && ours(p, svc, &c, page, mode))
			return on_exchange(f, p, &c, page, r);
	}
	return is_sorry(mode) ? on_orphan(p, s, svc, r) : PASS_LINGER;
}

#endif
