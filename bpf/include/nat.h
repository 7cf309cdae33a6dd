/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_NAT_H
#define MAITRED_NAT_H

#include "finish.h"
#include "tables.h"
#include "way.h"

/*
 * Puts other addresses and ports in a packet. Checksums follow the difference
 * (RFC 1624, equation 3), in the order that bytes have in memory: it is all the
 * same to the Internet checksum (RFC 1071, 2 (B)).
 */
struct ends {
	__be32 saddr[4];
	__be32 daddr[4];
	__be16 sport;
	__be16 dport;
} __attribute__((may_alias)); /* struct packet begins like that */

_Static_assert(__builtin_offsetof(struct packet, dport) ==
		       __builtin_offsetof(struct ends, dport),
	       "a packet does not begin with its ends");

static __always_inline void copy_address(__be32 to[4], const __be32 from[4])
{
	__builtin_memcpy(to, from, 4 * sizeof(*to));
}

static __always_inline bool same_address(const __be32 a[4], const __be32 b[4])
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

/*
 * What other addresses add to a sum. The prefix of a mapped one adds nothing. The
 * kernel's helper takes longer for so few words.
 */
static __always_inline __u16 address_change(const struct ends *from,
					    const struct ends *to)
{
	__u64 sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (__u64)(__u32)~from->saddr[i] + to->saddr[i] +
		       (__u32)~from->daddr[i] + to->daddr[i];
	return csum_fold(sum);
}

static __always_inline __u16 port_change(const struct ends *from,
					 const struct ends *to)
{
	return csum_fold((__u64)(__u16)~from->sport + to->sport +
			 (__u16)~from->dport + to->dport);
}

static __always_inline __u16 csum_changed(__u16 check, __u64 change)
{
	return ~csum_fold((__u64)(__u16)~check + change);
}

static __always_inline long write_ends_xdp(const struct frame *f,
					   const struct packet *p,
					   const struct ends *to,
					   __u16 addresses, __u16 ports)
{
	void *start = frame_start(f), *end = frame_end(f);
	struct ipv6hdr *v6 = start + (p->l3 & 31);
	struct iphdr *v4 = (void *)v6;
	__be16 *port = start + (p->l4 & L4_MAX);
	__u16 *check = start + (l4_check(p) & L4_MAX);

	if ((void *)(v4 + 1) > end || (void *)(port + 2) > end ||
	    (void *)(check + 1) > end)
		return -1;
	if (!p->v6) {
		v4->saddr = to->saddr[3];
		v4->daddr = to->daddr[3];
		v4->check = csum_changed(v4->check, addresses);
	} else {
		if ((void *)(v6 + 1) > end)
			return -1;
		__builtin_memcpy(&v6->saddr, to->saddr, sizeof(v6->saddr));
		__builtin_memcpy(&v6->daddr, to->daddr, sizeof(v6->daddr));
	}
	port[0] = to->sport;
	port[1] = to->dport;
	if (p->protocol == IPPROTO_UDP && !*check)
		return 0;
	*check = csum_changed(*check, (__u64)addresses + ports);
	if (p->protocol == IPPROTO_UDP && !*check)
		*check = 0xffff;
	return 0;
}

/* In a header at the offset l3, with the checksum of IPv4: tc only. */
static __always_inline long store_addresses(const struct frame *f, __u32 l3,
					    bool v6, const struct ends *to,
					    __u16 addresses, __u64 flags)
{
	struct {
		__u16 check;
		__be16 words[4];
	} v4;

	if (v6)
		return bpf_skb_store_bytes(
			f->ctx, l3 + __builtin_offsetof(struct ipv6hdr, saddr),
			to, sizeof(to->saddr) + sizeof(to->daddr), flags);
	l3 += __builtin_offsetof(struct iphdr, check);
	if (frame_load(f, l3, &v4.check, sizeof(v4.check)))
		return -1;
	v4.check = csum_changed(v4.check, addresses);
	__builtin_memcpy(v4.words, to->saddr + 3, sizeof(__be32));
	__builtin_memcpy(v4.words + 2, to->daddr + 3, sizeof(__be32));
	return bpf_skb_store_bytes(f->ctx, l3, &v4, sizeof(v4), flags);
}

/*
 * The helpers know of a checksum that is left to the transmitter, which has the
 * pseudo-header's sum alone, and of a sum of the whole packet that a driver has
 * given. That one stays true: the first store adds the addresses to it (and, with
 * IPv4, a checksum that makes up for them), the helper takes them off again with
 * the transport's checksum; the ports and their part of it make up for each other,
 * unless the packet has none.
 */
static __always_inline long write_ends_skb(const struct frame *f,
					   const struct packet *p,
					   const struct ends *to,
					   __u16 addresses, __u16 ports)
{
	bool udp = p->protocol == IPPROTO_UDP;
	__u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 at = l4_check(p);
	__u16 check;

	if (store_addresses(f, p->l3, p->v6, to, addresses,
			    BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (p->part == PART_LATER)
		return 0;
	if (frame_load(f, at, &check, sizeof(check)) ||
	    bpf_l4_csum_replace(f->ctx, at, 0, addresses,
				flags | BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(f->ctx, at, 0, ports, flags))
		return -1;
	return bpf_skb_store_bytes(f->ctx, p->l4, &to->sport, 4,
				   udp && !check ? BPF_F_RECOMPUTE_CSUM : 0);
}

/* What p says of the packet is left as it was. An ICMP error is requote's. */
static __always_inline long write_ends(const struct frame *f, struct packet *p,
				       const struct ends *to)
{
	__u16 addresses = address_change((const struct ends *)p, to);
	__u16 ports = port_change((const struct ends *)p, to);

	if (!f->xdp && p->quoted) {
		*(struct ends *)p = *to;
		return 0;
	}
	if (f->xdp)
		return write_ends_xdp(f, p, to, addresses, ports);
	return write_ends_skb(f, p, to, addresses, ports);
}

static __always_inline bool is_translated(const struct way *w)
{
	__u32 row = w->server;
	const struct server *s = bpf_map_lookup_elem(&servers, &row);

	return s && (s->method == METHOD_NAT || s->method == METHOD_FULLNAT);
}

/*
 * To the server: its address and, if it has one of its own, its port. Full NAT
 * has the director's in place of the client's.
 */
static __always_inline enum verdict nat_out(const struct frame *f,
					    struct packet *p,
					    const struct way *w,
					    const struct server *s)
{
	struct ends to = *(const struct ends *)p;
	__u32 zero = 0;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);

	copy_address(to.daddr, s->address);
	if (s->port)
		to.dport = s->port;
	if (s->method == METHOD_FULLNAT) {
		if (!set)
			return DROP_ERROR;
		copy_address(to.saddr, set->source[w->source % SOURCES_MAX]);
		to.sport = w->port;
	}
	return write_ends(f, p, &to) ? DROP_ERROR : PARSED;
}

#endif
