/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_HEADERS_H
#define MAITRED_HEADERS_H

#include "csum.h"
#include "tcp.h"

#define HOPS 64

struct mss_option {
	__u8 kind;
	__u8 length;
	__be16 mss;
};

/* The largest header that an answer has behind the link header. */
struct headers {
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
	};
	struct tcphdr tcp;
	struct mss_option option;
};

static __always_inline __u32 ip_header_size(const struct packet *p)
{
	return p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

static __always_inline __u32 tcp_header_size(const struct reply *r)
{
	return sizeof(struct tcphdr) + (r->mss ? sizeof(struct mss_option) : 0);
}

/* Of header and payload. */
static __always_inline __u32 tcp_size(const struct reply *r)
{
	return tcp_header_size(r) + r->lead + r->length;
}

/*
 * Don't Fragment is off, so that a narrow path behind a tunnel still gets the
 * page; the identification differs between the segments of one exchange.
 */
static __always_inline void write_ipv4(struct iphdr *ip, const struct packet *p,
				       const struct reply *r, __u32 l4_length)
{
	__u16 id = r->seq ^ r->seq >> 16 ^ r->ack;
	__u16 total = sizeof(*ip) + l4_length;
	__u32 sum = 0x4500 + total + id + (HOPS << 8 | p->protocol) +
		    csum_address(p->saddr, false) +
		    csum_address(p->daddr, false);

	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tot_len = bpf_htons(total),
		.id = bpf_htons(id),
		.ttl = HOPS,
		.protocol = p->protocol,
		.check = bpf_htons(~csum_fold(sum)),
		.saddr = p->daddr[3],
		.daddr = p->saddr[3],
	};
}

static __always_inline void write_ipv6(struct ipv6hdr *ip,
				       const struct packet *p, __u32 l4_length)
{
	*ip = (struct ipv6hdr){
		.version = 6,
		.payload_len = bpf_htons(l4_length),
		.nexthdr = p->protocol,
		.hop_limit = HOPS,
	};
	__builtin_memcpy(&ip->saddr, p->daddr, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, p->saddr, sizeof(ip->daddr));
}

#define WINDOW 65535

/* The checksum field is the caller's: it may be finished by the transmitter. */
static __always_inline int write_tcp(struct tcphdr *tcp, void *end,
				     const struct packet *p,
				     const struct reply *r, __u16 check)
{
	struct mss_option *option = (struct mss_option *)(tcp + 1);
	__be16 *words = (__be16 *)tcp;

	if ((void *)(tcp + 1) > end)
		return -1;
	tcp->source = p->dport;
	tcp->dest = p->sport;
	tcp->seq = bpf_htonl(r->seq);
	tcp->ack_seq = bpf_htonl(r->ack);
	words[6] = bpf_htons(tcp_header_size(r) << 10 | r->flags);
	tcp->window = bpf_htons(r->flags & TCP_RST ? 0 : WINDOW);
	tcp->check = check;
	tcp->urg_ptr = 0;
	if (!r->mss)
		return 0;
	if ((void *)(option + 1) > end)
		return -1;
	*option = (struct mss_option){
		.kind = OPTION_MSS,
		.length = sizeof(*option),
		.mss = bpf_htons(r->mss),
	};
	return 0;
}

/* The pseudo-header of RFC 9293, 3.1 and RFC 8200, 8.1. */
static __always_inline __u16 pseudo_sum(const struct packet *p, __u32 l4_length)
{
	return csum_fold(csum_address(p->saddr, p->v6) +
			 csum_address(p->daddr, p->v6) + IPPROTO_TCP +
			 l4_length);
}

/* The sum of all that follows the header. */
static __always_inline __u32 payload_sum(const struct reply *r,
					 const struct page *page)
{
	const struct lead *lead = r->lead ? the_lead() : NULL;
	__u16 rest = 0;
	__u32 sum = 0;

	if (r->length)
		rest = page ? csum_page(page, r->offset, r->length) : r->offset;
	if (!lead)
		return rest;
	for (int i = 0; i < LEAD_MAX; i += 2)
		sum += lead->bytes[i] << 8 | lead->bytes[i + 1];
	return sum + (r->lead & 1 ? __builtin_bswap16(rest) : rest);
}

static __always_inline __u16 segment_sum(const struct packet *p,
					 const struct reply *r,
					 const struct page *page)
{
	__u32 sum = bpf_ntohs(p->sport) + bpf_ntohs(p->dport) +
		    csum_word32(r->seq) + csum_word32(r->ack) +
		    (tcp_header_size(r) << 10 | r->flags) +
		    (r->flags & TCP_RST ? 0 : WINDOW);

	if (r->mss)
		sum += (OPTION_MSS << 8 | sizeof(struct mss_option)) + r->mss;
	return csum_fold(sum + payload_sum(r, page));
}

static __always_inline int write_headers(void *at, void *end,
					 const struct packet *p,
					 const struct reply *r, __u16 check)
{
	__u32 l4_length = tcp_size(r);

	if (p->v6) {
		if (at + sizeof(struct ipv6hdr) > end)
			return -1;
		write_ipv6(at, p, l4_length);
	} else {
		if (at + sizeof(struct iphdr) > end)
			return -1;
		write_ipv4(at, p, r, l4_length);
	}
	return write_tcp(at + ip_header_size(p), end, p, r, check);
}

#endif
