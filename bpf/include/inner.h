/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_INNER_H
#define MAITRED_INNER_H

#include "parse.h"

/* What an ICMP error quotes: the packet that it is about. tc only. */
struct inner {
	__be32 saddr[4]; /* mapped, as in struct packet */
	__be32 daddr[4];
	__be16 sport; /* of TCP and UDP; else 0 */
	__be16 dport;
	__u16 l3; /* offsets from the start of the frame */
	__u16 l4;
	__u16 length; /* bytes of the quote from l4 on: 8 at least */
	__u8 protocol;
};

#define QUOTE_MIN 8 /* bytes behind the IP header: RFC 792 */

static __always_inline bool inner_ipv4(const struct frame *f, struct inner *in)
{
	struct iphdr ip;

	if (frame_load(f, in->l3, &ip, sizeof(ip)))
		return false;
	/* Only the first fragment has ports. */
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff))
		return false;
	in->saddr[2] = bpf_htonl(0xffff);
	in->saddr[3] = ip.saddr;
	in->daddr[2] = bpf_htonl(0xffff);
	in->daddr[3] = ip.daddr;
	in->protocol = ip.protocol;
	in->l4 = in->l3 + ip.ihl * 4;
	return true;
}

static __always_inline bool inner_ipv6(const struct frame *f, struct inner *in)
{
	struct fragment_header x;
	struct ipv6hdr ip;

	if (frame_load(f, in->l3, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	__builtin_memcpy(in->saddr, &ip.saddr, sizeof(in->saddr));
	__builtin_memcpy(in->daddr, &ip.daddr, sizeof(in->daddr));
	in->protocol = ip.nexthdr;
	in->l4 = in->l3 + sizeof(ip);
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (!is_extension(in->protocol))
			return true;
		if (frame_load(f, in->l4, &x, sizeof(x)))
			return false;
		if (in->protocol != IPPROTO_FRAGMENT)
			in->l4 += (x.length + 1) * 8;
		else if (x.offset & bpf_htons(0xfff8))
			return false;
		else
			in->l4 += sizeof(x);
		in->protocol = x.next;
	}
	return false;
}

/* Reads the quote of an ICMP error; false where there is nothing to go by. */
static __always_inline bool read_inner(const struct frame *f,
				       const struct packet *p, struct inner *in)
{
	__u32 end = p->payload + p->length;
	__be16 ports[2];

	in->l3 = p->payload;
	if (p->v6 ? !inner_ipv6(f, in) : !inner_ipv4(f, in))
		return false;
	if (in->l4 + QUOTE_MIN > end)
		return false;
	in->length = end - in->l4;
	if (in->protocol != IPPROTO_TCP && in->protocol != IPPROTO_UDP)
		return true;
	if (frame_load(f, in->l4, ports, sizeof(ports)))
		return false;
	in->sport = ports[0];
	in->dport = ports[1];
	return true;
}

#endif
