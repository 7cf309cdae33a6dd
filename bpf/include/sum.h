/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SUM_H
#define MAITRED_SUM_H

#include "cookie.h"
#include "csum.h"

#define SUM_PART 64 /* bytes that are summed up at once; a multiple of 4 */
#define SUM_MAX (23 * SUM_PART) /* no less than SEGMENT_MAX */

_Static_assert(SUM_MAX >= SEGMENT_MAX, "a segment is too long to be summed up");

/*
 * The sum of a part of the frame, by the kernel's order of bytes. An odd length
 * is right only at the end of what is summed up.
 */
static __always_inline __u32 sum_frame(const struct frame *f, __u32 offset,
				       __u32 length)
{
	__u8 part[SUM_PART];
	__u32 sum = 0;
	__u64 rest;

	for (int i = 0; i < SUM_MAX / SUM_PART; i++) {
		if (length < SUM_PART)
			break;
		if (frame_load(f, offset, part, SUM_PART))
			return 0;
		sum = bpf_csum_diff(NULL, 0, (__be32 *)part, SUM_PART, sum);
		offset += SUM_PART;
		length -= SUM_PART;
	}
	if (!length)
		return sum;
	/* The verifier sees from this that the size is 1 at least. */
	rest = length;
	barrier_var(rest);
	rest = ((rest - 1) & (SUM_PART - 1)) + 1;
	__builtin_memset(part, 0, sizeof(part));
	if (frame_load(f, offset, part, rest))
		return 0;
	return bpf_csum_diff(NULL, 0, (__be32 *)part, SUM_PART, sum);
}

/* Functions of their own, for the verifier goes through each of the rounds. */
__noinline __u32 sum_xdp(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	const struct frame f = { .ctx = ctx, .xdp = true };

	return sum_frame(&f, offset, length);
}

__noinline __u32 sum_tc(struct __sk_buff *ctx, __u32 offset, __u32 length)
{
	const struct frame f = { .ctx = ctx, .xdp = false };

	return sum_frame(&f, offset, length);
}

/* To host order, as all of csum.h has it. */
static __always_inline __u16 sum_part(const struct frame *f, __u32 offset,
				      __u32 length)
{
	__u32 sum = f->xdp ? sum_xdp(f->ctx, offset, length) :
			     sum_tc(f->ctx, offset, length);

	return bpf_ntohs(csum_fold(sum));
}

#endif
