/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_QUOTE_H
#define MAITRED_QUOTE_H

#include "inner.h"
#include "nat.h"
#include "transport.h"

/*
 * ICMP errors about packets that NAT has changed. What such a one quotes went the
 * other way: turned round, it is a packet that goes where the error goes, and is
 * routed and translated like one. Then the quote, turned back, is what the one that
 * the error is for has sent (RFC 5508, 4.2). tc only.
 */

_Static_assert(__builtin_offsetof(struct inner, dport) ==
		       __builtin_offsetof(struct ends, dport),
	       "a quote does not begin with its ends");

static __always_inline void turn(struct packet *p, const struct inner *in)
{
	copy_address(p->saddr, in->daddr);
	copy_address(p->daddr, in->saddr);
	p->sport = in->dport;
	p->dport = in->sport;
	p->protocol = in->protocol;
	p->quoted = true;
}

static __always_inline __u32 icmp_check(const struct packet *p)
{
	return p->l4 + __builtin_offsetof(struct icmp, check);
}

/*
 * 8 bytes of the transport are enough; its checksum follows if it is there. The sum
 * of an IPv4 header stays what it is. No store tells a driver's sum of the whole
 * packet: the checksum of the message makes up for all of them.
 */
static __always_inline long write_quote(const struct frame *f,
					const struct packet *p,
					const struct inner *in,
					const struct ends *to)
{
	const struct ends *from = (const struct ends *)in;
	__u16 ports = port_change(from, to);
	__u16 addresses = address_change(from, to);
	bool udp = in->protocol == IPPROTO_UDP;
	__u32 at = udp ? __builtin_offsetof(struct udphdr, check) :
			 __builtin_offsetof(struct tcphdr, check);
	__u64 sum = p->v6 ? (__u64)ports + addresses : ports;
	__u16 was, is;

	if (at + sizeof(was) <= in->length) {
		at += in->l4;
		if (frame_load(f, at, &was, sizeof(was)))
			return -1;
		is = csum_changed(was, (__u64)ports + addresses);
		if (udp && !is)
			is = 0xffff;
		if (udp && !was)
			is = 0;
		sum += (__u64)(__u16)~was + is;
		if (bpf_skb_store_bytes(f->ctx, at, &is, sizeof(is), 0))
			return -1;
	}
	if (store_addresses(f, in->l3, p->v6, to, addresses, 0) ||
	    bpf_skb_store_bytes(f->ctx, in->l4, &to->sport, 4, 0))
		return -1;
	return bpf_l4_csum_replace(f->ctx, icmp_check(p), 0, csum_fold(sum), 0);
}

static __always_inline long
load_addresses(const struct frame *f, const struct packet *p, struct ends *e)
{
	__u32 at = p->l3;

	if (p->v6)
		return frame_load(
			f, at + __builtin_offsetof(struct ipv6hdr, saddr), e,
			sizeof(e->saddr) + sizeof(e->daddr));
	at += __builtin_offsetof(struct iphdr, saddr);
	e->saddr[2] = e->daddr[2] = bpf_htonl(0xffff);
	return frame_load(f, at, e->saddr + 3, sizeof(__be32)) ||
	       frame_load(f, at + sizeof(__be32), e->daddr + 3, sizeof(__be32));
}

/* The pseudo-header is part of ICMPv6's checksum, and none of ICMP's. */
static __always_inline long write_message(const struct frame *f,
					  const struct packet *p,
					  const struct ends *from,
					  const struct ends *to)
{
	__u16 change = address_change(from, to);

	if (p->v6 && bpf_l4_csum_replace(f->ctx, icmp_check(p), 0, change,
					 BPF_F_PSEUDO_HDR))
		return -1;
	return store_addresses(f, p->l3, p->v6, to, change,
			       BPF_F_RECOMPUTE_CSUM);
}

/*
 * The message, whose way p has gone. A router that has sent it keeps its name; the
 * end of the flow, if it has, gets that which the other end knows it by.
 */
static __always_inline enum verdict requote(const struct frame *f,
					    struct packet *p)
{
	struct inner in = {};
	struct ends from = {}, to = {
		.sport = p->dport,
		.dport = p->sport,
	};

	copy_address(to.saddr, p->daddr);
	copy_address(to.daddr, p->saddr);
	if (!read_inner(f, p, &in) || write_quote(f, p, &in, &to) ||
	    load_addresses(f, p, &from))
		return DROP_ERROR;
	copy_address(to.saddr, same_address(from.saddr, in.daddr) ? p->saddr :
								    from.saddr);
	copy_address(to.daddr, p->daddr);
	return write_message(f, p, &from, &to) ? DROP_ERROR : FORWARD_ERROR;
}

#endif
