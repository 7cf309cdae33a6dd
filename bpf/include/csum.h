/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_CSUM_H
#define MAITRED_CSUM_H

#include <stdbool.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h> /* for __always_inline: that of linux only asks */

#include "types.h"

/*
 * The Internet checksum (RFC 1071) in host order: a sum is the plain sum of
 * big-endian 16-bit words, and is turned to wire order only when it is stored.
 */

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u32 csum_word32(__u32 value)
{
	return (value >> 16) + (value & 0xffff);
}

/* The sum of an address, mapped or not, less the ::ffff of a mapped one. */
static __always_inline __u32 csum_address(const __be32 address[4], bool v6)
{
	__u32 sum = csum_word32(bpf_ntohl(address[3]));

	if (v6)
		sum += csum_word32(bpf_ntohl(address[0])) +
		       csum_word32(bpf_ntohl(address[1])) +
		       csum_word32(bpf_ntohl(address[2]));
	return sum;
}

/*
 * The sum of length bytes of the page from offset on, length > 0. Whole words
 * come from the stored sums; what is left is half a word at either end. Where
 * offset is odd each byte stands in the other half of its word, which turning
 * the bytes of the sum makes good (RFC 1071, 2 (B)).
 */
static __always_inline __u16 csum_page(const struct page *page, __u32 offset,
				       __u32 length)
{
	__u32 end = offset + length;
	__u32 sum = page->sums[end >> 1 & (SUMS_MAX - 1)] -
		    page->sums[(offset + 1) >> 1 & (SUMS_MAX - 1)];

	if (end & 1)
		sum += (__u32)page->bytes[(end - 1) & 0xffff] << 8;
	if (!(offset & 1))
		return csum_fold(sum);
	sum += page->bytes[offset & 0xffff];
	return __builtin_bswap16(csum_fold(sum));
}

#endif
