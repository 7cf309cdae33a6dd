/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SCAN_VALUE_H
#define MAITRED_SCAN_VALUE_H

#include "tcp.h"

/* What the lines of a request say, by the character: see scan.h. */

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

#endif
