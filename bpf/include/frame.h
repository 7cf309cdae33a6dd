/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_FRAME_H
#define MAITRED_FRAME_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/*
 * The packet under the hands of XDP or of tc. Both entries set xdp to a
 * constant, so that the compiler keeps one branch of each function and the
 * verifier never sees a helper of the other kind.
 */
struct frame {
	void *ctx;
	bool xdp;
};

/*
 * Bytes that hold the headers: Ethernet, two tags, IPv6, options. Where a longer
 * chain of extension headers lies in fragments tc takes it for malformed.
 */
#define HEADERS_MAX 192

/* Drivers keep to even addresses: what is not known to, clang copies by bytes. */
static __always_inline void *frame_start(const struct frame *f)
{
	void *start = f->xdp ? (void *)(long)((struct xdp_md *)f->ctx)->data :
			       (void *)(long)((struct __sk_buff *)f->ctx)->data;

	return __builtin_assume_aligned(start, 2);
}

static __always_inline void *frame_end(const struct frame *f)
{
	if (f->xdp)
		return (void *)(long)((struct xdp_md *)f->ctx)->data_end;
	return (void *)(long)((struct __sk_buff *)f->ctx)->data_end;
}

/*
 * How many bytes pointers reach. clang -mcpu=v3 subtracts packet pointers in 32
 * bits, which the verifier rejects (Linux 6.1 to 6.18): hence the assembler.
 */
static __always_inline __u32 frame_reach(const struct frame *f)
{
	void *end = frame_end(f);

	asm volatile("%0 -= %1" : "+r"(end) : "r"(frame_start(f)));
	return (__u64)end;
}

/* XDP does with whole frames alone: see maitred_xdp_frags. */
static __always_inline __u32 frame_length(const struct frame *f)
{
	return f->xdp ? frame_reach(f) : ((struct __sk_buff *)f->ctx)->len;
}

/* The interface that it came in by. */
static __always_inline __u32 frame_interface(const struct frame *f)
{
	void *ctx = f->ctx;

	/* Or clang keeps the field's address, which the verifier forbids. */
	barrier_var(ctx);
	if (f->xdp)
		return ((struct xdp_md *)ctx)->ingress_ifindex;
	return ((struct __sk_buff *)ctx)->ifindex;
}

/*
 * The MTU of an interface, in bytes of an IP packet; 0 where there is none such.
 * An index of 0 is that of the interface that the frame came in by.
 */
static __always_inline __u32 frame_mtu(const struct frame *f, __u32 interface)
{
	__u32 mtu = 0;

	return bpf_check_mtu(f->ctx, interface, &mtu, 0, 0) < 0 ? 0 : mtu;
}

/* A driver may leave the headers in page fragments, where tc can't see them. */
static __always_inline void frame_pull_headers(const struct frame *f)
{
	if (f->xdp)
		return;

	struct __sk_buff *skb = f->ctx;
	__u32 want = skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX;

	if ((void *)(long)skb->data + want > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, want);
}

static __always_inline long frame_load(const struct frame *f, __u32 offset,
				       void *to, __u32 length)
{
	if (f->xdp)
		return bpf_xdp_load_bytes(f->ctx, offset, to, length);
	return bpf_skb_load_bytes(f->ctx, offset, to, length);
}

#define OFFSET_MAX 16383 /* a mask, too */

/*
 * The same for a few bytes: XDP reaches them by a pointer, for its helper takes
 * longer than all that is done with them.
 */
static __always_inline long frame_read(const struct frame *f, __u32 offset,
				       void *to, __u32 length)
{
	void *at = frame_start(f) + (offset & OFFSET_MAX);

	if (!f->xdp)
		return bpf_skb_load_bytes(f->ctx, offset, to, length);
	if (at + length > frame_end(f))
		return -1;
	__builtin_memcpy(to, at, length);
	return 0;
}

/*
 * Only CHECKSUM_COMPLETE cares for the flag: it keeps the driver's sum of the
 * whole packet true for whoever gets the answer next on this machine.
 */
static __always_inline long frame_store(const struct frame *f, __u32 offset,
					const void *from, __u32 length)
{
	if (f->xdp)
		return bpf_xdp_store_bytes(f->ctx, offset, (void *)from,
					   length);
	return bpf_skb_store_bytes(f->ctx, offset, from, length,
				   BPF_F_RECOMPUTE_CSUM);
}

/*
 * Changes the frame's length. Nothing has been changed if it fails, which XDP
 * does where the driver's buffer has no room (veth grows by 690 bytes at most,
 * by none at worst: Linux 6.18).
 */
static __always_inline long frame_resize(const struct frame *f, __u32 length)
{
	__u32 now = frame_length(f);

	if (f->xdp)
		return bpf_xdp_adjust_tail(f->ctx, (int)(length - now));
	if (length > now && frame_reach(f) < now &&
	    bpf_skb_pull_data(f->ctx, now))
		return -1;
	return bpf_skb_change_tail(f->ctx, length, 0);
}

/*
 * Takes length bytes out from behind the fixed IP header at offset l3: IPv4
 * options or IPv6 extension headers. What follows keeps its place in memory,
 * which a checksum that is left to the transmitter depends on. XDP has to carry
 * the link header forward itself, and leaves the IP header to be rewritten. tc's
 * helper knows nothing of a tag that stands in the data: there the tail goes
 * instead, which is right for all packets but those of a local sender who
 * leaves the checksum to do.
 */
static __always_inline long frame_strip(const struct frame *f, __u32 l3,
					__u32 length)
{
	__u8 link[24];

	if (!f->xdp) {
		if (!bpf_skb_adjust_room(f->ctx, -(int)length, BPF_ADJ_ROOM_NET,
					 0))
			return 0;
		return bpf_skb_change_tail(f->ctx, frame_length(f) - length, 0);
	}
	/* Two comparisons that stay two: 6.1 makes nothing of one and a sum. */
	if (l3 < ETH_HLEN)
		return -1;
	barrier_var(l3);
	if (l3 > sizeof(link))
		return -1;
	if (bpf_xdp_load_bytes(f->ctx, 0, link, l3))
		return -1;
	if (bpf_xdp_adjust_head(f->ctx, (int)length))
		return -1;
	return bpf_xdp_store_bytes(f->ctx, 0, link, l3);
}

static __always_inline int frame_pass(const struct frame *f)
{
	return f->xdp ? XDP_PASS : TC_ACT_UNSPEC;
}

static __always_inline int frame_drop(const struct frame *f)
{
	return f->xdp ? XDP_DROP : TC_ACT_SHOT;
}

/* Sends the frame back to where it came from. */
static __always_inline int frame_send(const struct frame *f)
{
	if (f->xdp)
		return XDP_TX;
	return bpf_redirect(((struct __sk_buff *)f->ctx)->ifindex, 0);
}

#endif
