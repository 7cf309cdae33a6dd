/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SCAN_H
#define MAITRED_SCAN_H

#include "scan_value.h"

/*
 * Reads the Host line (RFC 9110, 7.2) and those of Accept-Encoding (12.5.3) in
 * the first segment of a request. The lines that are whole in the segment count;
 * of several Host lines the first does. "*" names no coding, so it gets the page as
 * it is, which suits all.
 *
 * One call of scan_step takes a line, or a character of a value. All that it
 * knows lies in a map, where the verifier knows nothing, and so has but one state
 * to follow.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct scan);
	__uint(max_entries, 1);
} scans SEC(".maps");

static __always_inline __u64 scan_load(const struct scan *s, __u32 at)
{
	__u64 word;

	__builtin_memcpy(&word, s->bytes + (at & (SCAN_MAX - 1)), sizeof(word));
	return word;
}

#define TEXT8(a, b, c, d, e, f, g, h)                                        \
	((__u64)(h) << 56 | (__u64)(g) << 48 | (__u64)(f) << 40 |            \
	 (__u64)(e) << 32 | (__u64)(d) << 24 | (__u64)(c) << 16 | (b) << 8 | \
	 (a))
/* What makes letters small, where there are to be letters. */
#define SMALL 0x2020202020202020ULL
#define BYTES(byte) (0x0101010101010101ULL * (byte))

/* "Host:" */
static __always_inline bool is_host(__u64 word)
{
	return ((word | (SMALL & 0xffffffff)) & 0xffffffffff) ==
	       TEXT8('h', 'o', 's', 't', ':', 0, 0, 0);
}

/* "Accept-Encoding:" */
static __always_inline bool is_accept(__u64 first, __u64 second)
{
	return (first | (SMALL & ~(0xffULL << 48))) ==
		       TEXT8('a', 'c', 'c', 'e', 'p', 't', '-', 'e') &&
	       (second | (SMALL & ~(0xffULL << 56))) ==
		       TEXT8('n', 'c', 'o', 'd', 'i', 'n', 'g', ':');
}

/* Goes to the next line, or as far as one step may. */
static __always_inline void scan_rest(struct scan *s)
{
	__u32 at = s->at;

	s->state = SCAN_REST;
	for (int i = 0; i < SCAN_STRIDE / 8; i++) {
		__u64 word = scan_load(s, at) ^ BYTES('\n');
		__u64 found = (word - BYTES(1)) & ~word & BYTES(0x80);

		if (found) {
			/* The number of the lowest byte that has its bit. */
			found = (found & -found) >> 7;
			at += found * TEXT8(7, 6, 5, 4, 3, 2, 1, 0) >> 56;
			s->at = at + 1;
			s->state = SCAN_LINE;
			return;
		}
		at += 8;
	}
	s->at = at;
}

/* Returns 1 where there is no more to read. */
static __always_inline long scan_line(struct scan *s)
{
	__u64 word = scan_load(s, s->at);

	if (is_end_of_line(word))
		return 1; /* of the header */
	if (is_host(word)) {
		s->at += 5;
		s->digest = 0xcbf29ce484222325ULL;
		s->named = s->dot = s->bracket = false;
		s->state = SCAN_HOST;
	} else if (is_accept(word, scan_load(s, s->at + 8))) {
		s->at += 16;
		s->coding = 0;
		s->zero = false;
		s->state = SCAN_CODING;
	} else {
		s->state = SCAN_REST; /* and that it is found to be */
	}
	return 0;
}

static long scan_step(__u32 i, void *context)
{
	struct scan *s = *(struct scan **)context;
	__u8 c;

	(void)i;
	if (s->at >= s->length)
		return 1;
	if (s->state == SCAN_LINE)
		return scan_line(s);
	if (s->state == SCAN_REST) {
		scan_rest(s);
		return 0;
	}
	c = s->bytes[s->at & (SCAN_MAX - 1)];
	s->at++;
	if (s->state == SCAN_HOST)
		scan_host(s, c);
	else
		scan_codings(s, c);
	return 0;
}

/* Takes what there is to read; false where there is nothing. */
static __always_inline bool scan_take(const struct frame *f,
				      const struct packet *p)
{
	__u32 zero = 0;
	struct scan *s = bpf_map_lookup_elem(&scans, &zero);
	__u64 length = p->length < SCAN_MAX ? p->length : SCAN_MAX;

	if (!s || !length)
		return false;
	/* See write_payload. */
	barrier_var(length);
	length = ((length - 1) & (SCAN_MAX - 1)) + 1;
	s->length = length;
	return !frame_load(f, p->payload, s->bytes, length);
}

/* Reads the lines behind the first, whose target is not the Host line's. */
static __always_inline const struct scan *scan(void)
{
	__u32 zero = 0;
	struct scan *s = bpf_map_lookup_elem(&scans, &zero);

	if (!s)
		return NULL;
	s->host = 0;
	s->accepted = s->refused = 0;
	s->at = 0;
	s->state = SCAN_REST;
	bpf_loop(SCAN_MAX, scan_step, &s, 0);
	return s;
}

#endif
