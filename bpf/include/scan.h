/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SCAN_H
#define MAITRED_SCAN_H

#include "tcp.h"

/*
 * Reads the Host line (RFC 9110, 7.2) and those of Accept-Encoding (12.5.3) in
 * the first segment of a request. The lines that are whole in the segment count; of several Host lines
 * the first does. "*" names no coding, so it gets the page as it is, which suits
 * all.
 *
 * One call of scan_step takes a line, or a character of a value. All that it
 * knows lies in a map, where the verifier knows nothing, and so has but one state
 * to follow.
 */
#define SCAN_MAX 2048 /* bytes of the segment */
#define SCAN_STRIDE 64 /* that are searched for the end of a line at once */

enum scan_state {
	SCAN_REST, /* of a line that is of no use */
	SCAN_LINE, /* the beginning of one */
	SCAN_HOST,
	SCAN_CODING, /* its name */
	SCAN_PARAMETER, /* the name of one of its parameters */
	SCAN_QUALITY,
};

struct scan {
	__u64 host; /* digest of the name: maps.HostDigest; 0: not known */
	__u64 digest; /* of as much of it as has been read */
	__u64 coding; /* its name, last byte lowest */
	__u64 parameter;
	__u32 state;
	__u32 length; /* of what there is to read */
	__u32 at;
	__u8 named; /* the name of the host has begun */
	__u8 dot; /* which the name may end with */
	__u8 bracket; /* in an address of IPv6 */
	__u8 zero; /* the quality is 0 */
	__u32 accepted; /* bits by coding */
	__u32 refused;
	__u8 bytes[SCAN_MAX + 8];
};

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

static __always_inline bool is_end_of_line(__u8 c)
{
	return c == '\r' || c == '\n';
}

static __always_inline bool is_space(__u8 c)
{
	return c == ' ' || c == '\t';
}

static __always_inline __u8 small(__u8 c)
{
	return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

/* FNV-1a of 64 bits. */
static __always_inline void scan_hash(struct scan *s, __u8 c)
{
	s->digest = (s->digest ^ c) * 0x100000001b3ULL;
}

static __always_inline void scan_host(struct scan *s, __u8 c)
{
	if (is_space(c) && !s->named)
		return;
	if (is_space(c) || is_end_of_line(c) || (c == ':' && !s->bracket)) {
		if (!s->host)
			s->host = s->digest;
		s->at--;
		s->state = SCAN_REST;
		return;
	}
	s->named = true;
	if (c == '[' || c == ']')
		s->bracket = c == '[';
	if (s->dot)
		scan_hash(s, '.');
	s->dot = c == '.';
	if (!s->dot)
		scan_hash(s, small(c));
}

/* A name that is too long keeps a first byte that no coding's has. */
static __always_inline __u64 appended(__u64 name, __u8 c)
{
	return name >> 56 ? name : name << 8 | (c ? small(c) : 1);
}

static __always_inline void scan_codings(struct scan *s, __u8 c)
{
	bool end = is_end_of_line(c);
	__u32 coding = 0;

	if (c == ',' || end) {
		if (s->coding == ('g' << 24 | 'z' << 16 | 'i' << 8 | 'p'))
			coding = 1 << CODING_GZIP;
		else if (s->coding == ('b' << 8 | 'r'))
			coding = 1 << CODING_BROTLI;
		if (s->zero)
			s->refused |= coding;
		else
			s->accepted |= coding;
		s->coding = 0;
		s->zero = false;
		s->state = end ? SCAN_REST : SCAN_CODING;
		s->at -= end;
	} else if (is_space(c)) {
		return;
	} else if (c == ';') {
		s->parameter = 0;
		s->state = SCAN_PARAMETER;
	} else if (s->state == SCAN_CODING) {
		s->coding = appended(s->coding, c);
	} else if (s->state == SCAN_QUALITY) {
		if (c >= '1' && c <= '9')
			s->zero = false;
	} else if (c == '=' && s->parameter == 'q') {
		s->zero = true;
		s->state = SCAN_QUALITY;
	} else {
		s->parameter = appended(s->parameter, c);
	}
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
