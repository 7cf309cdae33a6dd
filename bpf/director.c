//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * The sorry engine: answers the clients of a service that has no real server
 * left, in the kernel and with no state. XDP answers where the driver has it;
 * tc answers what XDP had no room for, and everything elsewhere.
 */

#include "answer.h"
#include "service.h"
#include "syn.h"
#include "tables.h"

/* What a packet to a service that is not simply serving deserves. */
static __always_inline enum verdict
judge(const struct frame *f, const struct packet *p, const struct service *svc,
      const struct page **page, struct reply *r)
{
	bool linger = svc->mode == MODE_LINGER;
	struct cookie c = {};
	__u32 zero = 0;
	const struct setting *s = bpf_map_lookup_elem(&settings, &zero);

	if (!s || !svc->page[svc->current & 1])
		return PASS_NO_PAGE;
	if (p->first_fragment && !linger)
		return svc->orphans == ORPHAN_PASS ? PASS_ORPHAN :
						     DROP_FRAGMENT;
	if (p->first_fragment)
		return PASS_LINGER;
	if ((p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN)
		return linger ? PASS_LINGER : on_syn(f, p, s, svc, r);
	if (!(p->flags & (TCP_ACK | TCP_RST)) ||
	    (p->flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN))
		return linger ? PASS_LINGER : DROP_FLAGS;
	if (p->flags & TCP_ACK && !(p->flags & TCP_SYN)) {
		*page = cookie_read(p, s, svc, &c);
		if (*page && ours(p, svc, &c, *page))
			return on_exchange(f, p, &c, *page, r);
		*page = NULL;
	}
	return linger ? PASS_LINGER : on_orphan(p, s, svc, r);
}

/*
 * Global functions, which the verifier walks through once and by themselves:
 * inlined, every path through the headers would go on through all the rest.
 */
__noinline enum verdict parse_xdp(struct xdp_md *ctx, struct packet *p)
{
	struct frame f = { .ctx = ctx, .xdp = true };

	return p ? parse(&f, p) : PASS_MALFORMED;
}

__noinline enum verdict parse_tc(struct __sk_buff *ctx, struct packet *p)
{
	struct frame f = { .ctx = ctx, .xdp = false };

	return p ? parse(&f, p) : PASS_MALFORMED;
}

static __always_inline int sorry(const struct frame *f)
{
	__u32 bytes = frame_length(f);
	const struct service *svc = NULL;
	const struct page *page = NULL;
	struct packet p = {};
	struct reply r = {};
	enum verdict v;
	__u32 id = 0;

	v = f->xdp ? parse_xdp(f->ctx, &p) : parse_tc(f->ctx, &p);
	if (v == PARSED) {
		svc = service_of(&p);
		v = svc ? PASS_SERVED : PASS_NO_SERVICE;
	}
	if (svc) {
		id = svc->id;
		if (svc->mode != MODE_SERVE)
			v = judge(f, &p, svc, &page, &r);
		else if (ring_at(id, 0))
			v = PASS_NO_SERVER;
	}
	if (r.flags)
		v = answer(f, &p, &r, page, v);
	/* What XDP passes comes by tc, and is counted there. */
	if (!f->xdp || v >= PASS_DEFERRED)
		count(id, v, bytes);
	if (v <= PASS_DEFERRED)
		return frame_pass(f);
	if (v >= DROP_ACK)
		return frame_drop(f);
	return frame_send(f);
}

SEC("xdp")
int maitred_xdp(struct xdp_md *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = true };

	return sorry(&f);
}

SEC("tc")
int maitred_tc(struct __sk_buff *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = false };

	return sorry(&f);
}

/* The GPL half of the licence: some helpers are for such programs alone. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
