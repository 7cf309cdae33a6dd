/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_TRANSPORT_H
#define MAITRED_TRANSPORT_H

#include "parse.h"

/*
 * Nobody is to be told of what a group or nobody sent: RFC 1122, 3.2.2, and 4.2.3.10
 * for TCP. XDP sees it before the kernel has thrown it away.
 */
static __always_inline bool sent_by_one(const struct packet *p)
{
	__u8 first = p->v6 ? ((__u8 *)p->saddr)[0] : ((__u8 *)p->saddr)[12];

	if (p->v6)
		return first != 0xff &&
		       (p->saddr[0] | p->saddr[1] | p->saddr[2] | p->saddr[3]);
	return first != 0 && first != 127 && first < 224;
}

static __always_inline enum verdict parse_tcp(void *at, void *end,
					      struct packet *p, __u32 left)
{
	struct tcphdr *tcp = at;
	__u32 header;

	if ((void *)(tcp + 1) > end)
		return PASS_MALFORMED;
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || header > left)
		return PASS_MALFORMED;
	p->sport = tcp->source;
	p->dport = tcp->dest;
	p->seq = bpf_ntohl(tcp->seq);
	p->ack = bpf_ntohl(tcp->ack_seq);
	p->window = bpf_ntohs(tcp->window);
	p->flags = ((__u8 *)tcp)[13];
	p->payload = p->l4 + header;
	p->length = left - header;
	return PARSED;
}

/* A first fragment has not all the bytes that its length tells of. */
static __always_inline enum verdict parse_udp(void *at, void *end,
					      struct packet *p, __u32 left)
{
	struct udphdr *udp = at;
	__u32 length;

	if ((void *)(udp + 1) > end || left < sizeof(*udp))
		return PASS_MALFORMED;
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || (p->part == PART_WHOLE && length > left))
		return PASS_MALFORMED;
	p->sport = udp->source;
	p->dport = udp->dest;
	p->payload = p->l4 + sizeof(*udp);
	p->length = left - sizeof(*udp);
	return PARSED;
}

struct icmp {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 rest; /* of the header: the MTU, for one */
};

static __always_inline enum verdict parse_icmp(void *at, void *end,
					       struct packet *p, __u32 left)
{
	struct icmp *icmp = at;

	if ((void *)(icmp + 1) > end || left < sizeof(*icmp))
		return PASS_MALFORMED;
	p->type = icmp->type;
	p->code = icmp->code;
	p->payload = p->l4 + sizeof(*icmp);
	p->length = left - sizeof(*icmp);
	return PARSED;
}

/* The header behind those of IP; not for a later fragment. */
static __always_inline enum verdict parse_transport(const struct frame *f,
						    struct packet *p)
{
	void *at = frame_start(f) + (p->l4 & L4_MAX);
	void *end = frame_end(f);
	__u32 left = p->l3 + p->total - p->l4;

	switch (p->protocol) {
	case IPPROTO_TCP:
		return parse_tcp(at, end, p, left);
	case IPPROTO_UDP:
		return parse_udp(at, end, p, left);
	case IPPROTO_ICMP:
		return p->v6 ? PASS_PROTOCOL : parse_icmp(at, end, p, left);
	case IPPROTO_ICMPV6:
		return p->v6 ? parse_icmp(at, end, p, left) : PASS_PROTOCOL;
	default:
		return PASS_PROTOCOL;
	}
}

#endif
