/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ENCAP_H
#define MAITRED_ENCAP_H

#include "outer.h"
#include "pick.h"
#include "send.h"

/* Puts a packet into a server's tunnel. */

/* Carries the tags along: all of the link header that transmit leaves. */
static __always_inline enum verdict
encap_xdp(const struct frame *f, const struct packet *p,
	  const struct carried *c, const struct server *s, __u32 hash)
{
	__u32 overhead = encap_overhead(s);
	struct vlan_tag tags[TAGS_MAX];
	void *at = frame_start(f) + 2 * ETH_ALEN;

	if (at + sizeof(tags) > frame_end(f))
		return DROP_ERROR;
	__builtin_memcpy(tags, at, sizeof(tags));
	if (bpf_xdp_adjust_head(f->ctx, -(int)overhead))
		return PASS_DEFERRED;
	at = frame_start(f) + 2 * ETH_ALEN;
	if (at + sizeof(tags) > frame_end(f))
		return DROP_ERROR;
	__builtin_memcpy(at, tags, sizeof(tags));
	at = frame_start(f) + ((p->l3 - sizeof(__be16)) & 31);
	if (hop(f, p->l3 + overhead, p->v6) ||
	    write_outer(at, frame_end(f), c, s, hash))
		return DROP_ERROR;
	return PARSED;
}

/*
 * The kernel's helper grows no packet with a tag in the data: the outermost is
 * taken off meanwhile, which lifts a second one out of the data too, and put
 * back.
 */
static __always_inline long outermost_tag(struct __sk_buff *skb,
					  struct vlan_tag *tag)
{
	__be16 link[2];

	if (skb->vlan_present) {
		tag->proto = skb->vlan_proto;
		tag->tci = skb->vlan_tci;
		return 0;
	}
	if (bpf_skb_load_bytes(skb, 2 * ETH_ALEN, link, sizeof(link)))
		return -1;
	tag->proto = link[0];
	tag->tci = bpf_ntohs(link[1]);
	return 0;
}

/*
 * FIXED_GSO: segments yet to be cut have been measured with the outer header,
 * and datagrams must not be cut otherwise than their sender wanted.
 */
static __always_inline enum verdict encap_tc(const struct frame *f,
					     const struct packet *p,
					     const struct carried *c,
					     const struct server *s, __u32 hash)
{
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	__u32 overhead = encap_overhead(s);
	bool tagged = p->l3 > ETH_HLEN;
	struct vlan_tag tag = {};
	struct outer o = {};

	flags |= is_ipv4(s->address) ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 :
				       BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	if (s->tunnel == TUNNEL_GUE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	if (fill_outer(&o, c, s, hash) || hop(f, p->l3, p->v6))
		return DROP_ERROR;
	if (tagged && (outermost_tag(f->ctx, &tag) || bpf_skb_vlan_pop(f->ctx)))
		return DROP_ERROR;
	if (bpf_skb_adjust_room(f->ctx, (int)overhead, BPF_ADJ_ROOM_MAC, flags))
		return DROP_ERROR;
	if (frame_store(f, ETH_HLEN - sizeof(o.link), &o.link,
			sizeof(o.link) + overhead))
		return DROP_ERROR;
	if (tagged && bpf_skb_vlan_push(f->ctx, tag.proto, tag.tci))
		return DROP_ERROR;
	return PARSED;
}

/*
 * Puts the packet, one hop on, into the server's tunnel. The link header has its
 * tags and its EtherType then, and waits for its addresses. PASS_DEFERRED and an
 * untouched frame where XDP has no room before it.
 */
static __always_inline enum verdict
encap(const struct frame *f, const struct packet *p, const struct server *s)
{
	__u32 hash = client_hash(p->saddr, p->sport) >> 32;
	struct carried c = {};

	if (read_carried(f, p, &c))
		return DROP_ERROR;
	if (f->xdp)
		return encap_xdp(f, p, &c, s, hash);
	return encap_tc(f, p, &c, s, hash);
}

#endif
