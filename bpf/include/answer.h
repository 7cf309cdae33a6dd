/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ANSWER_H
#define MAITRED_ANSWER_H

#include "headers.h"

/* The way back is the way it came. */
static __always_inline int swap_link(const struct frame *f)
{
	struct ethhdr *eth = frame_start(f);
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > frame_end(f))
		return -1;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	return 0;
}

/*
 * tc may hold a packet whose checksum is left to the transmitter, and nothing
 * tells. The kernel's own rules do: on such a packet the helper takes the
 * pseudo-header's sum alone and leaves the rest to be added at transmission; on
 * any other it takes both. 0xffff is zero in either reading.
 */
static __always_inline int write_skb(const struct frame *f,
				     const struct packet *p,
				     const struct reply *r,
				     const struct page *page)
{
	__u32 size = ip_header_size(p) + tcp_header_size(r);
	__u32 check = p->l3 + ip_header_size(p) +
		      __builtin_offsetof(struct tcphdr, check);
	__u32 l4_length = tcp_size(r);
	struct headers h = {};

	if (write_headers(&h, &h + 1, p, r, 0xffff))
		return -1;
	if (size > sizeof(h) || frame_store(f, p->l3, &h, size))
		return -1;
	if (bpf_l4_csum_replace(f->ctx, check, 0,
				bpf_htons(segment_sum(p, r, page)), 0))
		return -1;
	return bpf_l4_csum_replace(f->ctx, check, 0,
				   bpf_htons(pseudo_sum(p, l4_length)),
				   BPF_F_PSEUDO_HDR);
}

static __always_inline int write_xdp(const struct frame *f,
				     const struct packet *p,
				     const struct reply *r,
				     const struct page *page)
{
	__u32 l4_length = tcp_size(r);
	__u16 sum = csum_fold((__u32)segment_sum(p, r, page) +
			      pseudo_sum(p, l4_length));

	return write_headers(frame_start(f) + (p->l3 & 31), frame_end(f), p, r,
			     bpf_htons(~sum));
}

static __always_inline int write_payload(const struct frame *f,
					 const struct packet *p,
					 const struct reply *r,
					 const struct page *page)
{
	__u32 at = p->l3 + ip_header_size(p) + tcp_header_size(r) + r->lead;
	__u64 offset = r->offset;
	__u64 length = r->length;

	if (!page || length == 0)
		return 0;
	if (length > SEGMENT_MAX)
		return -1;
	/*
	 * The verifier has lost what it knew of these when they were spilled,
	 * and does not see from a comparison with zero that the length is 1 at
	 * least (Linux 6.1): so say it in arithmetic that changes nothing, and
	 * keep the compiler from seeing that.
	 */
	barrier_var(offset);
	barrier_var(length);
	offset &= 0xffff;
	length = ((length - 1) & 2047) + 1;
	return frame_store(f, at, page->bytes + offset, length);
}

static __always_inline int
write_lead(const struct frame *f, const struct packet *p, const struct reply *r)
{
	__u32 at = p->l3 + ip_header_size(p) + tcp_header_size(r);
	const struct lead *lead;
	__u64 length = r->lead;

	if (!length)
		return 0;
	lead = the_lead();
	if (!lead)
		return -1;
	barrier_var(length); /* as in write_payload */
	length = ((length - 1) & (LEAD_MAX - 1)) + 1;
	return frame_store(f, at, lead->bytes, length);
}

/*
 * Turns the frame into the answer. PASS_DEFERRED and an untouched frame where
 * XDP had no room for it.
 */
static __always_inline enum verdict answer(const struct frame *f,
					   const struct packet *p,
					   const struct reply *r,
					   enum verdict v)
{
	const struct page *page = r->page ? page_at(r->page) : NULL;
	__u32 surplus = p->l4 - p->l3 - ip_header_size(p);
	__u32 size = p->l4 + tcp_size(r);

	if (frame_resize(f, size))
		return f->xdp ? PASS_DEFERRED : DROP_ERROR;
	if (surplus && frame_strip(f, p->l3, surplus))
		return DROP_ERROR;
	if (!r->again && swap_link(f))
		return DROP_ERROR;
	if (f->xdp ? write_xdp(f, p, r, page) : write_skb(f, p, r, page))
		return DROP_ERROR;
	if (write_lead(f, p, r) || write_payload(f, p, r, page))
		return DROP_ERROR;
	if (!f->xdp && r->twice)
		bpf_clone_redirect(f->ctx, frame_interface(f), 0);
	return v;
}

#endif
