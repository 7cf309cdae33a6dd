/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PARSE_H
#define MAITRED_PARSE_H

#include <stdbool.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
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
	__u16 window;
	__u16 l3; /* offsets from the start of the frame */
	__u16 l4;
	__u16 payload;
	__u16 length; /* of the payload, in bytes */
	__u8 flags; /* TCP_* */
	bool v6;
	bool first_fragment;
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

struct extension {
	__u8 next;
	__u8 length; /* in units of 8 bytes, the first not counted */
};

struct fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

/* Enough for any chain that RFC 8200, 4.1 has a use for. */
#define EXTENSIONS_MAX 6
#define TAGS_MAX 2

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

/* Sets *left to the bytes that the packet holds behind its IP header. */
static __always_inline enum verdict
parse_ipv4(struct cursor *c, struct packet *p, __u8 *proto, __u32 *left)
{
	struct iphdr *ip = c->at;
	__u32 header, total;

	if ((void *)(ip + 1) > c->end)
		return PASS_MALFORMED;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header)
		return PASS_MALFORMED;
	if (ip->frag_off & bpf_htons(0x1fff))
		return PASS_FRAGMENT;
	p->first_fragment = ip->frag_off & bpf_htons(0x2000);
	p->saddr[2] = bpf_htonl(0xffff);
	p->saddr[3] = ip->saddr;
	p->daddr[2] = bpf_htonl(0xffff);
	p->daddr[3] = ip->daddr;
	p->l4 = p->l3 + header;
	*proto = ip->protocol;
	*left = total - header;
	c->at += header;
	return PARSED;
}

static __always_inline enum verdict
parse_extensions(struct cursor *c, struct packet *p, __u8 *proto, __u32 *left)
{
	/* One round more than there are headers: the last looks behind them. */
	for (int i = 0; i <= EXTENSIONS_MAX; i++) {
		struct extension *x = c->at;
		struct fragment *frag = c->at;
		__u32 length;

		if (*proto != IPPROTO_HOPOPTS && *proto != IPPROTO_ROUTING &&
		    *proto != IPPROTO_DSTOPTS && *proto != IPPROTO_FRAGMENT)
			return PARSED;
		if ((void *)(frag + 1) > c->end)
			return PASS_MALFORMED;
		length = (x->length + 1) * 8;
		if (*proto == IPPROTO_FRAGMENT) {
			if (frag->offset & bpf_htons(0xfff8))
				return PASS_FRAGMENT;
			p->first_fragment = frag->offset & bpf_htons(1);
			length = sizeof(*frag);
		}
		if (length > *left)
			return PASS_MALFORMED;
		*proto = x->next;
		*left -= length;
		p->l4 += length;
		c->at += length;
	}
	return PASS_MALFORMED;
}

static __always_inline enum verdict
parse_ipv6(struct cursor *c, struct packet *p, __u8 *proto, __u32 *left)
{
	struct ipv6hdr *ip = c->at;

	if ((void *)(ip + 1) > c->end || ip->version != 6)
		return PASS_MALFORMED;
	__builtin_memcpy(p->saddr, &ip->saddr, sizeof(p->saddr));
	__builtin_memcpy(p->daddr, &ip->daddr, sizeof(p->daddr));
	p->v6 = true;
	p->l4 = p->l3 + sizeof(*ip);
	*proto = ip->nexthdr;
	*left = bpf_ntohs(ip->payload_len);
	c->at = ip + 1;
	return parse_extensions(c, p, proto, left);
}

static __always_inline enum verdict parse_tcp(struct cursor *c,
					      struct packet *p, __u32 left)
{
	struct tcphdr *tcp = c->at;
	__u32 header;

	if ((void *)(tcp + 1) > c->end)
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

/* Returns PARSED, or the verdict on a packet that is none of ours. */
static __always_inline enum verdict parse(const struct frame *f,
					  struct packet *p)
{
	struct cursor c;
	enum verdict v;
	__be16 link = 0;
	__u32 left = 0;
	__u8 proto = 0;

	frame_pull_headers(f);
	c.at = frame_start(f);
	c.end = frame_end(f);

	v = parse_link(&c, p, &link);
	if (v != PARSED)
		return v;
	if (link == bpf_htons(ETH_P_IP))
		v = parse_ipv4(&c, p, &proto, &left);
	else if (link == bpf_htons(ETH_P_IPV6))
		v = parse_ipv6(&c, p, &proto, &left);
	else
		v = PASS_NOT_IP;
	if (v != PARSED)
		return v;
	if (proto != IPPROTO_TCP)
		return PASS_PROTOCOL;
	v = parse_tcp(&c, p, left);
	if (v != PARSED)
		return v;
	if (p->l4 + left > frame_length(f))
		return PASS_MALFORMED;
	return PARSED;
}

#endif
