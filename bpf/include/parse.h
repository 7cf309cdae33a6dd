/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PARSE_H
#define MAITRED_PARSE_H

#include <stdbool.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "frame.h"
#include "types.h"
#include "verdict.h"

/* What the programs know of a packet; zeroed before it is read. */
struct packet {
	__be32 saddr[4]; /* IPv4 is mapped: see struct endpoint */
	__be32 daddr[4];
	__be16 sport;
	__be16 dport;
	__u32 seq;
	__u32 ack;
	__u32 id; /* of a fragment's datagram, as it stands in the header */
	__u32 total; /* bytes of the IP packet, its header included */
	__s32 action; /* what the program returns with FORWARD_* */
	__u16 window;
	__u16 l3; /* offsets from the start of the frame */
	__u16 l4;
	__u16 payload; /* behind the header of TCP, UDP or ICMP */
	__u16 length; /* of the payload, in bytes */
	__u8 protocol; /* TCP, UDP, ICMP or ICMPv6; any of a later fragment */
	__u8 part; /* enum part */
	__u8 hops; /* the time to live */
	__u8 flags; /* TCP_* */
	__u8 type; /* of ICMP */
	__u8 code;
	bool v6;
	bool quoted; /* the ends are not the packet's own: see quote.h */
	__u8 pad[2];
};

enum part {
	PART_WHOLE,
	PART_FIRST, /* fragment: all headers are here */
	PART_LATER, /* nothing behind the IP headers was read */
};

enum tcp_flags {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

/* One cursor walks the headers; each parser moves it behind its own. */
struct cursor {
	void *at;
	void *end;
};

#define PARSED VERDICT_COUNT /* go on: no verdict yet */

struct vlan_tag {
	__be16 tci;
	__be16 proto;
};

/* Its first two bytes are those of any extension header. */
struct fragment_header {
	__u8 next;
	__u8 length; /* of others, in units of 8 bytes, the first not counted */
	__be16 offset;
	__be32 id;
};

/* Enough for any chain that RFC 8200, 4.1 has a use for. */
#define EXTENSIONS_MAX 6
#define TAGS_MAX 2
#define L4_MAX 16383 /* a mask, too */

static __always_inline bool is_tag(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) ||
	       proto == bpf_htons(ETH_P_8021AD);
}

static __always_inline enum verdict parse_link(struct cursor *c,
					       struct packet *p, __be16 *proto)
{
	struct ethhdr *eth = c->at;

	if ((void *)(eth + 1) > c->end)
		return PASS_MALFORMED;
	if (eth->h_dest[0] & 1) /* RFC 1122, 4.2.3.10 */
		return PASS_GROUP;
	c->at = eth + 1;
	p->l3 = sizeof(*eth);
	*proto = eth->h_proto;

#pragma unroll
	for (int i = 0; i < TAGS_MAX; i++) {
		struct vlan_tag *tag = c->at;

		if (!is_tag(*proto))
			break;
		if ((void *)(tag + 1) > c->end)
			return PASS_MALFORMED;
		c->at = tag + 1;
		p->l3 += sizeof(*tag);
		*proto = tag->proto;
	}
	return PARSED;
}

static __always_inline enum verdict parse_ipv4(struct cursor *c,
					       struct packet *p)
{
	struct iphdr *ip = c->at;
	__u32 header, total;

	if ((void *)(ip + 1) > c->end)
		return PASS_MALFORMED;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header)
		return PASS_MALFORMED;
	p->id = ip->id;
	if (ip->frag_off & bpf_htons(0x1fff))
		p->part = PART_LATER;
	else if (ip->frag_off & bpf_htons(0x2000))
		p->part = PART_FIRST;
	p->saddr[2] = bpf_htonl(0xffff);
	p->saddr[3] = ip->saddr;
	p->daddr[2] = bpf_htonl(0xffff);
	p->daddr[3] = ip->daddr;
	p->l4 = p->l3 + header;
	p->total = total;
	p->hops = ip->ttl;
	p->protocol = ip->protocol;
	return PARSED;
}

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT;
}

/* Whether it is an IPv4-mapped one (RFC 4291, 2.5.5.2). */
static __always_inline bool is_ipv4(const __be32 address[4])
{
	return !address[0] && !address[1] && address[2] == bpf_htonl(0xffff);
}

static __always_inline enum verdict parse_ipv6(struct cursor *c,
					       struct packet *p)
{
	struct ipv6hdr *ip = c->at;

	if ((void *)(ip + 1) > c->end || ip->version != 6)
		return PASS_MALFORMED;
	__builtin_memcpy(p->saddr, &ip->saddr, sizeof(p->saddr));
	__builtin_memcpy(p->daddr, &ip->daddr, sizeof(p->daddr));
	/* None is to be seen on the wire: RFC 6890, 2.2.3. */
	if (is_ipv4(p->saddr) || is_ipv4(p->daddr))
		return PASS_MALFORMED;
	p->v6 = true;
	p->l4 = p->l3 + sizeof(*ip);
	p->protocol = ip->nexthdr;
	p->hops = ip->hop_limit;
	p->total = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	return PARSED;
}

/* The headers up to the fixed one of IP. */
static __always_inline enum verdict parse_network(const struct frame *f,
						  struct packet *p)
{
	struct cursor c;
	enum verdict v;
	__be16 link = 0;

	frame_pull_headers(f);
	c.at = frame_start(f);
	c.end = frame_end(f);

	v = parse_link(&c, p, &link);
	if (v != PARSED)
		return v;
	if (link == bpf_htons(ETH_P_IP))
		v = parse_ipv4(&c, p);
	else if (link == bpf_htons(ETH_P_IPV6))
		v = parse_ipv6(&c, p);
	else
		v = PASS_NOT_IP;
	if (v == PARSED && p->l3 + p->total > frame_length(f))
		v = PASS_MALFORMED;
	return v;
}

/*
 * Walks the extension headers, and moves p->l4 behind them. They are loaded by
 * the helper, and not by pointers, each of which the verifier would follow
 * through all that comes after: see director.c.
 */
static __always_inline enum verdict parse_extensions(const struct frame *f,
						     struct packet *p)
{
	__u32 end = p->l3 + p->total;

	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		struct fragment_header x;
		__u32 length;

		if (!is_extension(p->protocol))
			return PARSED;
		if (frame_load(f, p->l4, &x, sizeof(x)))
			return PASS_MALFORMED;
		length = (x.length + 1) * 8;
		if (p->protocol == IPPROTO_FRAGMENT) {
			length = sizeof(x);
			p->id = x.id;
			if (x.offset & bpf_htons(0xfff8))
				p->part = PART_LATER;
			else if (x.offset & bpf_htons(1))
				p->part = PART_FIRST;
		}
		if (p->l4 + length > end || p->l4 + length > L4_MAX)
			return PASS_MALFORMED;
		p->protocol = x.next;
		p->l4 += length;
		if (p->part == PART_LATER)
			return PARSED;
	}
	return is_extension(p->protocol) ? PASS_MALFORMED : PARSED;
}

#endif
