/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ICMP_MAKE_H
#define MAITRED_ICMP_MAKE_H

#include "answer.h"
#include "sum.h"
#include "transport.h"

/*
 * ICMP errors of the director's own, from the address that a packet was sent to
 * and back the way it came. tc only.
 */

enum icmp_type {
	ICMP4_UNREACHABLE = 3,
	ICMP4_EXPIRED = 11,
	ICMP4_PARAMETER = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_EXPIRED = 3,
	ICMP6_PARAMETER = 4,
};

#define ICMP4_NEED_FRAGMENT 4 /* the code: RFC 1191, 4 */
#define ICMP4_MAX 576 /* bytes in all: RFC 1812, 4.3.2.3 */
#define ICMP6_MAX 1280 /* RFC 4443, 2.4 (c) */
#define ICMP4_TOS 0xc0 /* internetwork control: RFC 1812, 4.3.2.5 */

/* Bytes of the packet that the error quotes. */
static __always_inline __u32 quote_size(const struct packet *p, __u32 room)
{
	__u32 most = (p->v6 ? ICMP6_MAX : ICMP4_MAX) - room;

	return p->total < most ? p->total : most;
}

static __always_inline void write_error4(struct iphdr *ip,
					 const struct packet *p, __u32 total)
{
	__u16 id = bpf_get_prandom_u32();
	__u32 sum = (0x4500 | ICMP4_TOS) + total + id +
		    (HOPS << 8 | IPPROTO_ICMP) + csum_address(p->saddr, false) +
		    csum_address(p->daddr, false);

	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tos = ICMP4_TOS,
		.tot_len = bpf_htons(total),
		.id = bpf_htons(id),
		.ttl = HOPS,
		.protocol = IPPROTO_ICMP,
		.check = bpf_htons(~csum_fold(sum)),
		.saddr = p->daddr[3],
		.daddr = p->saddr[3],
	};
}

static __always_inline void write_error6(struct ipv6hdr *ip,
					 const struct packet *p, __u32 total)
{
	*ip = (struct ipv6hdr){
		.version = 6,
		.payload_len = bpf_htons(total - sizeof(*ip)),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = HOPS,
	};
	__builtin_memcpy(&ip->saddr, p->daddr, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, p->saddr, sizeof(ip->daddr));
}

/* The sum of what is known of the error without its quote. */
static __always_inline __u32 error_sum(const struct packet *p,
				       const struct icmp *m, __u32 quote)
{
	__u32 sum = (m->type << 8 | m->code) + csum_word32(bpf_ntohl(m->rest));

	if (p->v6)
		sum += csum_address(p->saddr, true) +
		       csum_address(p->daddr, true) + IPPROTO_ICMPV6 +
		       sizeof(*m) + quote;
	return sum;
}

/* Where the quoted packet's own checksum is. */
static __always_inline __u32 check_offset(const struct packet *p)
{
	return p->l4 + (p->protocol == IPPROTO_UDP ? 6 : 16);
}

/* The link header again, before the new room, with its addresses swapped. */
static __always_inline int move_link(const struct frame *f, __u32 l3,
				     __u32 room)
{
	__u8 link[24];

	/* Two comparisons that stay two: see frame_strip. */
	if (l3 < ETH_HLEN)
		return -1;
	barrier_var(l3);
	if (l3 > sizeof(link))
		return -1;
	if (bpf_skb_load_bytes(f->ctx, room, link, l3))
		return -1;
	if (bpf_skb_store_bytes(f->ctx, 0, link, l3, 0))
		return -1;
	return swap_link(f);
}

/*
 * The quote keeps its place in memory, which a checksum that is left to the
 * transmitter depends on, and the new headers go before it. They count as link
 * header for the kernel, and so for a driver's sum of the whole packet, until the
 * frame is sent.
 *
 * The transmitter, if it is to do that checksum, will put the complement of the
 * sum of all the quote's transport, in which the field now counts as what it
 * holds: the transport then sums up to the complement of that. On any other
 * packet it sums up to what is there. Which of both it is only the helper
 * knows, which leaves the one alone and takes the difference for the other.
 */
static __always_inline int make(const struct frame *f, const struct packet *p,
				struct icmp *m)
{
	__u32 ip_size = ip_header_size(p);
	__u32 room = ip_size + sizeof(*m);
	__u32 quote = quote_size(p, room);
	__u32 end = p->l3 + quote;
	struct ipv6hdr ip6;
	struct iphdr ip4;
	__be16 field = 0;
	__u16 transport;
	__u32 sum;

	if (end <= p->l4 || bpf_skb_change_tail(f->ctx, end, 0))
		return -1;
	if (check_offset(p) + sizeof(field) <= end &&
	    frame_load(f, check_offset(p), &field, sizeof(field)))
		return -1;
	sum = error_sum(p, m, quote) + sum_part(f, p->l3, p->l4 - p->l3);
	transport = sum_part(f, p->l4, end - p->l4);
	m->check = bpf_htons(~csum_fold(sum + (__u16)~bpf_ntohs(field)));

	if (bpf_skb_change_head(f->ctx, room, 0) || move_link(f, p->l3, room))
		return -1;
	if (p->v6) {
		write_error6(&ip6, p, room + quote);
		if (bpf_skb_store_bytes(f->ctx, p->l3, &ip6, sizeof(ip6), 0))
			return -1;
	} else {
		write_error4(&ip4, p, room + quote);
		if (bpf_skb_store_bytes(f->ctx, p->l3, &ip4, sizeof(ip4), 0))
			return -1;
	}
	if (bpf_skb_store_bytes(f->ctx, p->l3 + ip_size, m, sizeof(*m), 0))
		return -1;
	return bpf_l4_csum_replace(
		f->ctx,
		p->l3 + ip_size + __builtin_offsetof(struct icmp, check), 0,
		bpf_htons(csum_fold((__u32)transport + bpf_ntohs(field))), 0);
}

/* The budget is that of resets: both are answers that anybody can ask for. */
static __always_inline enum verdict make_limited(const struct frame *f,
						 const struct packet *p,
						 struct icmp *m, enum verdict v)
{
	__u32 zero = 0;
	const struct setting *s = bpf_map_lookup_elem(&settings, &zero);

	if (!s || !sent_by_one(p) || !may_reset(s))
		return DROP_LIMIT;
	return make(f, p, m) ? DROP_ERROR : v;
}

/*
 * Turns the packet into the error that says that no more than mtu bytes of it
 * get through, or that its time to live is over.
 */
static __always_inline enum verdict
icmp_too_big(const struct frame *f, const struct packet *p, __u32 mtu)
{
	struct icmp m = {
		.type = p->v6 ? ICMP6_TOO_BIG : ICMP4_UNREACHABLE,
		.code = p->v6 ? 0 : ICMP4_NEED_FRAGMENT,
		.rest = bpf_htonl(mtu),
	};

	return make_limited(f, p, &m, ANSWER_TOO_BIG);
}

static __always_inline enum verdict icmp_expired(const struct frame *f,
						 const struct packet *p)
{
	struct icmp m = { .type = p->v6 ? ICMP6_EXPIRED : ICMP4_EXPIRED };

	return make_limited(f, p, &m, ANSWER_EXPIRED);
}

#endif
