/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_DATAGRAM_H
#define MAITRED_DATAGRAM_H

#include "answer.h"
#include "dns.h"
#include "finish.h"
#include "icmp_make.h"

/*
 * UDP. Its packets show no proof of where they come from, so that no answer is
 * longer than what it answers, and none goes where nobody can have asked from.
 */

/*
 * Puts the answer's headers before a datagram whose payload stays; the sum of
 * both ends is the same whichever way they stand. The packet is no longer what p
 * says then.
 */
static __always_inline long turn_round(const struct frame *f,
				       const struct packet *p, __u32 size)
{
	__u32 surplus = p->l4 - p->l3 - ip_header_size(p);
	/* Its number is the client's own, which differs from packet to packet. */
	const struct reply r = { .seq = bpf_ntohs(p->id) };
	__be16 ports[2] = { p->dport, p->sport };
	struct headers h = {};

	if (frame_resize(f, p->l4 + size) ||
	    (surplus && frame_strip(f, p->l3, surplus)) || swap_link(f))
		return -1;
	if (p->v6)
		write_ipv6(&h.v6, p, size);
	else
		write_ipv4(&h.v4, p, &r, size);
	if (frame_store(f, p->l3, &h, ip_header_size(p)))
		return -1;
	return frame_store(f, p->l3 + ip_header_size(p), ports, sizeof(ports));
}

/*
 * Changes a word of a datagram and its checksum along with it: that keeps an
 * error of the way, which a new sum would hide. tc may hold a packet whose
 * checksum is left to the transmitter: its helper knows. None stays none.
 */
static __always_inline long change_word(const struct frame *f, __u32 l4,
					__u32 at, __be16 from, __be16 to)
{
	__u32 check = l4 + __builtin_offsetof(struct udphdr, check);
	__u16 sum;

	if (!f->xdp)
		return bpf_skb_store_bytes(f->ctx, at, &to, sizeof(to), 0) ?:
			       bpf_l4_csum_replace(f->ctx, check, from, to,
						   BPF_F_MARK_MANGLED_0 |
							   sizeof(to));
	if (frame_load(f, check, &sum, sizeof(sum)))
		return -1;
	if (sum) {
		sum = ~csum_fold((__u64)(__u16)~sum + (__u16)~from + to);
		sum = sum ?: 0xffff;
	}
	return frame_store(f, at, &to, sizeof(to)) ?:
		       frame_store(f, check, &sum, sizeof(sum));
}

static __always_inline enum verdict dns_datagram(const struct frame *f,
						 const struct packet *p)
{
	__u32 l4 = p->l3 + ip_header_size(p);
	__be16 from, to;
	struct udphdr u;
	struct dns d;

	if (p->part == PART_FIRST)
		return DROP_FRAGMENT;
	if (p->length < sizeof(d) || frame_load(f, p->l4, &u, sizeof(u)) ||
	    frame_load(f, p->payload, &d, sizeof(d)) ||
	    bpf_ntohs(u.len) < sizeof(u) + sizeof(d))
		return DROP_PARTIAL;
	if (!u.check && p->v6) /* RFC 8200, 8.1 */
		return PASS_MALFORMED;
	if (d.flags & DNS_RESPONSE)
		return DROP_FLAGS;
	if (!p->sport || !sent_by_one(p))
		return DROP_LIMIT;
	if (!stays(f, p))
		return DROP_ERROR;
	if (f->xdp && u.check && unfinished(f, p))
		return PASS_DEFERRED;
	__builtin_memcpy(&from, &d.flags, sizeof(from));
	dns_fail(&d);
	__builtin_memcpy(&to, &d.flags, sizeof(to));
	if (turn_round(f, p, bpf_ntohs(u.len)))
		return DROP_ERROR;
	if (change_word(f, l4,
			l4 + sizeof(u) + __builtin_offsetof(struct dns, flags),
			from, to))
		return DROP_ERROR;
	return ANSWER_DATAGRAM;
}

/* A datagram to a service that is sorry, and has a page: what that says. */
static __always_inline enum verdict
on_datagram(const struct frame *f, const struct packet *p, __u32 slot)
{
	const struct page *page = page_at(slot);

	if (!page)
		return PASS_NO_PAGE;
	switch (page->speech) {
	case SPEECH_DNS:
		return dns_datagram(f, p);
	case SPEECH_UNREACHABLE:
		return f->xdp ? PASS_DEFERRED : ANSWER_UNREACHABLE;
	default:
		return PASS_NO_PAGE;
	}
}

/* RFC 792; RFC 4443, 3.1. tc only. */
static __always_inline enum verdict icmp_no_port(const struct frame *f,
						 const struct packet *p)
{
	struct icmp m = {
		.type = p->v6 ? ICMP6_UNREACHABLE : ICMP4_UNREACHABLE,
		.code = p->v6 ? 4 : 3,
	};

	if (!p->sport)
		return DROP_LIMIT;
	return make_limited(f, p, &m, ANSWER_UNREACHABLE);
}

#endif
