/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_JUDGE_H
#define MAITRED_JUDGE_H

#include "exchange.h"
#include "syn.h"

/* What a packet to a service that is not simply serving deserves. */
static __always_inline enum verdict judge(const struct frame *f,
					  const struct packet *p,
					  const struct service *svc,
					  struct reply *r)
{
	bool linger = svc->mode == MODE_LINGER;
	const struct page *page;
	struct cookie c = {};
	__u32 zero = 0;
	const struct setting *s = bpf_map_lookup_elem(&settings, &zero);

	if (p->protocol != IPPROTO_TCP)
		return linger ? PASS_LINGER : PASS_NO_PAGE;
	if (!s || !svc->page[svc->current & 1])
		return PASS_NO_PAGE;
	if (p->part == PART_FIRST && !linger)
		return svc->orphans == ORPHAN_PASS ? PASS_ORPHAN :
						     DROP_FRAGMENT;
	if (p->part == PART_FIRST)
		return PASS_LINGER;
	if ((p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN)
		return linger ? PASS_LINGER : on_syn(f, p, s, svc, r);
	if (!(p->flags & (TCP_ACK | TCP_RST)) ||
	    (p->flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN))
		return linger ? PASS_LINGER : DROP_FLAGS;
	if (p->flags & TCP_ACK && !(p->flags & TCP_SYN)) {
		page = cookie_read(p, s, svc, &c);
		if (page && ours(p, svc, &c, page))
			return on_exchange(f, p, &c, page, r);
	}
	return linger ? PASS_LINGER : on_orphan(p, s, svc, r);
}

#endif
