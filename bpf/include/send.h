/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SEND_H
#define MAITRED_SEND_H

#include "parse.h"
#include "way.h"

/* How a packet leaves the director once its way is known. */

/* What XDP can't send it leaves to tc, before anything is changed. */
static __always_inline bool
sendable(const struct frame *f, const struct packet *p, const struct way *w)
{
	if (!f->xdp)
		return true;
	if (!w->linked)
		return false;
	return w->route.interface == frame_interface(f) ||
	       (w->route.xdp && p->l3 == ETH_HLEN);
}

/*
 * Bytes of the packet, or of the largest that it is still to be cut into, from
 * the IP header on.
 */
static __always_inline __u32 packet_size(const struct frame *f,
					 const struct packet *p)
{
	__u32 segment = f->xdp ? 0 : ((struct __sk_buff *)f->ctx)->gso_size;

	return segment ? segment + p->payload - p->l3 : p->total;
}

/*
 * tc: takes the tags of one link off a packet that leaves by another, be they
 * in the frame or beside it, and says in p where all is now. Pointers into the
 * frame are void after it.
 */
static __always_inline int untag(const struct frame *f, struct packet *p,
				 const struct way *w)
{
	struct __sk_buff *skb = f->ctx;
	__u16 tags = p->l3 - ETH_HLEN;

	if (f->xdp || w->route.interface == frame_interface(f) ||
	    (!tags && !skb->vlan_present))
		return 0;
	/* Without a tag the helper does nothing. */
	if (bpf_skb_vlan_pop(skb) || bpf_skb_vlan_pop(skb))
		return -1;
	p->l3 -= tags;
	p->l4 -= tags;
	p->payload -= tags;
	return 0;
}

/*
 * One hop less to live, in the IP header at the offset (0 to 127). The sum of
 * IPv4 is brought along (RFC 1624); IPv6 has none, so the helper keeps a
 * driver's sum of the whole packet true.
 */
static __always_inline int hop(const struct frame *f, __u32 l3, bool v6)
{
	void *at = frame_start(f) + (l3 & 127);
	struct ipv6hdr *ip6 = at;
	struct iphdr *ip = at;
	__u32 sum;
	__u8 hops;

	if (!v6) {
		if ((void *)(ip + 1) > frame_end(f))
			return -1;
		sum = ip->check + bpf_htons(0x100);
		ip->check = sum + (sum >> 16);
		ip->ttl--;
		return 0;
	}
	if ((void *)(ip6 + 1) > frame_end(f))
		return -1;
	hops = ip6->hop_limit - 1;
	if (f->xdp) {
		ip6->hop_limit = hops;
		return 0;
	}
	return frame_store(
		f, (l3 & 127) + __builtin_offsetof(struct ipv6hdr, hop_limit),
		&hops, 1);
}

/*
 * Hands the packet, which is as it is to be from its IP header on, to its way,
 * and says in p what the program is to return. The verdict is v if it can be done.
 */
static __always_inline enum verdict
transmit(const struct frame *f, struct packet *p, struct way *w, enum verdict v)
{
	struct ethhdr *eth;

	if (!f->xdp && !w->linked) {
		p->action = bpf_redirect_neigh(w->route.interface, &w->next,
					       sizeof(w->next), 0);
		return v;
	}
	eth = frame_start(f);
	if ((void *)(eth + 1) > frame_end(f))
		return DROP_ERROR;
	__builtin_memcpy(eth->h_dest, w->route.target, ETH_ALEN);
	__builtin_memcpy(eth->h_source, w->route.source, ETH_ALEN);
	if (f->xdp && w->route.interface == frame_interface(f))
		p->action = XDP_TX;
	else
		p->action = bpf_redirect(w->route.interface, 0);
	return v;
}

#endif
