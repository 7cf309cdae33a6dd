/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_OUTER_H
#define MAITRED_OUTER_H

#include "headers.h"
#include "route.h"

/*
 * The outer header of a tunnel: IPv4 in IPv4 (RFC 2003), IPv6 in IPv6 (RFC
 * 2473), the one in the other (RFC 4213, RFC 2473), or any of these in UDP by
 * draft-ietf-intarea-gue, variant 0.
 */

/* GUE with no fields: version 0, C 0 and a header length of 0 are one zero. */
struct gue {
	struct udphdr udp;
	__u8 control;
	__u8 protocol;
	__be16 flags;
};

/*
 * Room for the last field of the link header, and for the longest that follows
 * it: what tc's helper is to store.
 */
struct outer {
	__be16 pad;
	__be16 link;
	struct ipv6hdr ip;
	struct gue gue;
};

/* What the outer header takes over from the packet. */
struct carried {
	__u32 total; /* bytes of the packet */
	__u8 protocol;
	__u8 tos; /* DSCP and ECN: RFC 6040, 4.1 */
	bool df;
};

#define IP_DF 0x4000
/* RFC 6335, 6: the dynamic ports; 14 bits are left for the flow. */
#define GUE_PORT_FIRST 0xc000

static __always_inline __u32 outer_ip_size(const struct server *s)
{
	return is_ipv4(s->address) ? sizeof(struct iphdr) :
				     sizeof(struct ipv6hdr);
}

/* Bytes that the server's tunnel puts before a packet. */
static __always_inline __u32 encap_overhead(const struct server *s)
{
	return outer_ip_size(s) +
	       (s->tunnel == TUNNEL_GUE ? sizeof(struct gue) : 0);
}

static __always_inline int
read_carried(const struct frame *f, const struct packet *p, struct carried *c)
{
	void *at = frame_start(f) + (p->l3 & 31);
	struct ipv6hdr *v6 = at;
	struct iphdr *v4 = at;

	if (p->v6) {
		if ((void *)(v6 + 1) > frame_end(f))
			return -1;
		c->protocol = IPPROTO_IPV6;
		c->tos = bpf_ntohs(*(__be16 *)at) >> 4;
		c->df = true;
	} else {
		if ((void *)(v4 + 1) > frame_end(f))
			return -1;
		c->protocol = IPPROTO_IPIP;
		c->tos = v4->tos;
		c->df = v4->frag_off & bpf_htons(IP_DF);
	}
	/* Segments yet to be cut may come to more than a header can say. */
	c->total = p->total;
	if (!f->xdp && ((struct __sk_buff *)f->ctx)->gso_size)
		c->total = frame_length(f) - p->l3;
	return 0;
}

/* As the kernel does it, what is longer than a header can say is 0 there. */
static __always_inline __u16 length_field(__u32 length)
{
	return length > 0xffff ? 0 : length;
}

/* The identification matters only where a router may make fragments. */
static __always_inline void write_outer4(struct iphdr *ip,
					 const struct carried *c,
					 const struct server *s, __u8 protocol)
{
	__u16 total = length_field(c->total + encap_overhead(s));
	__u16 flags = c->df ? IP_DF : 0;
	__u16 id = c->df ? 0 : bpf_get_prandom_u32();
	__u32 sum = (0x4500 | c->tos) + total + id + flags +
		    (HOPS << 8 | protocol) + csum_address(s->source, false) +
		    csum_address(s->address, false);

	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tos = c->tos,
		.tot_len = bpf_htons(total),
		.id = bpf_htons(id),
		.frag_off = bpf_htons(flags),
		.ttl = HOPS,
		.protocol = protocol,
		.check = bpf_htons(~csum_fold(sum)),
		.saddr = s->source[3],
		.daddr = s->address[3],
	};
}

static __always_inline void write_outer6(struct ipv6hdr *ip,
					 const struct carried *c,
					 const struct server *s, __u8 protocol,
					 __u32 hash)
{
	__u32 length = c->total + encap_overhead(s) - sizeof(*ip);

	*ip = (struct ipv6hdr){
		.payload_len = bpf_htons(length_field(length)),
		.nexthdr = protocol,
		.hop_limit = HOPS,
	};
	*(__be32 *)ip = bpf_htonl(6U << 28 | (__u32)c->tos << 20 |
				  (hash & 0xfffff)); /* RFC 6438 */
	__builtin_memcpy(&ip->saddr, s->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, s->address, sizeof(ip->daddr));
}

/* No checksum, over IPv6 neither (RFC 6935): the inner ones are enough. */
static __always_inline void write_gue(struct gue *g, const struct carried *c,
				      const struct server *s, __u32 hash)
{
	*g = (struct gue){
		.udp.source = bpf_htons(GUE_PORT_FIRST | (hash & 0x3fff)),
		.udp.dest = s->tunnel_port,
		.udp.len = bpf_htons(length_field(c->total + sizeof(*g))),
		.protocol = c->protocol,
	};
}

/* From the last field of the link header on, where there is room for it all. */
static __always_inline int write_outer(__be16 *link, void *end,
				       const struct carried *c,
				       const struct server *s, __u32 hash)
{
	bool gue = s->tunnel == TUNNEL_GUE;
	__u8 protocol = gue ? IPPROTO_UDP : c->protocol;
	struct ipv6hdr *v6 = (void *)(link + 1);
	struct iphdr *v4 = (void *)v6;
	struct gue *next;

	if (is_ipv4(s->address)) {
		next = (void *)(v4 + 1);
		if ((void *)next > end)
			return -1;
		*link = bpf_htons(ETH_P_IP);
		write_outer4(v4, c, s, protocol);
	} else {
		next = (void *)(v6 + 1);
		if ((void *)next > end)
			return -1;
		*link = bpf_htons(ETH_P_IPV6);
		write_outer6(v6, c, s, protocol, hash);
	}
	if (!gue)
		return 0;
	if ((void *)(next + 1) > end)
		return -1;
	write_gue(next, c, s, hash);
	return 0;
}

/* A global function: see those of director.c. */
__noinline int fill_outer(struct outer *o, const struct carried *c,
			  const struct server *s, __u32 hash)
{
	return o && c && s ? write_outer(&o->link, o + 1, c, s, hash) : -1;
}

#endif
