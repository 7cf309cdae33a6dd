/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_COOKIE_H
#define MAITRED_COOKIE_H

#include "maps.h"
#include "parse.h"

/*
 * The whole state of an exchange lies in the numbers that the client sends
 * back. Our initial sequence number is a keyed hash of the connection and of the
 * page with bits 16 to 18 replaced:
 *
 *     31            19 18  17 16 15             0
 *    +----------------+---+-----+----------------+
 *    |      hash      | 0 |class|      hash      |
 *    +----------------+---+-----+----------------+
 *
 * class is the segment size that the SYN allowed. An acknowledgement less the
 * hash alone is then class and, in the low 16 bits, the offset of the next byte
 * of the page. The page is in the hash by its bytes and not by its place, so that
 * every director of a cluster reads what any of them wrote, and a page that has
 * come into the place of another does not end what began on that.
 *
 * Two pages whose salts differ in bits 19 to 31 are never taken for each other:
 * less the hash of the wrong one, a number is out by 2^19 or more, but for
 * 2^16 - 1 at most, and so no valid one. User space sees to it that they differ.
 *
 * A number that is not ours passes for a valid one with a probability of
 * 16 * length / 2^32. That is a matter of chance for an attacker, and nothing is
 * to be had by it; but a connection to a real server sees many numbers, so more
 * is asked of packets that could be of one: see ours().
 */
#define COOKIE_FIELD (7U << 16)

struct cookie {
	__u8 class;
	__u32 offset; /* of the next byte that the client wants */
	__u32 page; /* the slot of the page that it is of */
};

#define SEGMENT_MAX 1440

/*
 * A maximum segment size below 536 gets class 0 all the same: every IPv4 host
 * takes a datagram of 576 bytes (RFC 1122, 3.3.2).
 */
static __always_inline __u32 class_of(__u32 mss)
{
	if (mss >= 1440)
		return 3;
	if (mss >= 1360)
		return 2;
	return mss >= 1220;
}

/* Bytes of payload; a switch, since the verifier has no bounds for a table. */
static __always_inline __u32 segment_size(__u8 class)
{
	switch (class & 3) {
	case 0:
		return 536;
	case 1:
		return 1220;
	case 2:
		return 1360;
	default:
		return SEGMENT_MAX;
	}
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012). */
struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 rotate(__u64 v, int by)
{
	return v << by | v >> (64 - by);
}

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static __always_inline __u64 pair(__be32 low, __be32 high)
{
	return (__u64)high << 32 | low;
}

/* The hash of a connection, with the cookie's field clear. */
static __always_inline __u32 cookie_base(const struct packet *p,
					 const struct cookie_key *key)
{
	struct sip s = {
		.v0 = key->k0 ^ 0x736f6d6570736575ULL,
		.v1 = key->k1 ^ 0x646f72616e646f6dULL,
		.v2 = key->k0 ^ 0x6c7967656e657261ULL,
		.v3 = key->k1 ^ 0x7465646279746573ULL,
	};
	__u32 length = 12;

	if (p->v6) {
		sip_word(&s, pair(p->saddr[0], p->saddr[1]));
		sip_word(&s, pair(p->saddr[2], p->saddr[3]));
		sip_word(&s, pair(p->daddr[0], p->daddr[1]));
		sip_word(&s, pair(p->daddr[2], p->daddr[3]));
		length = 36;
	} else {
		sip_word(&s, pair(p->saddr[3], p->daddr[3]));
	}
	sip_word(&s, pair((__u32)p->dport << 16 | p->sport, length << 24));
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return (__u32)(s.v0 ^ s.v1 ^ s.v2 ^ s.v3) & ~COOKIE_FIELD;
}

/* The page is part of it: an exchange that began on another is none of ours. */
static __always_inline __u32 salted(__u32 base, const struct service *svc,
				    __u32 page)
{
	return base ^ (svc->salt[page & 1] & ~COOKIE_FIELD);
}

/* Of class 0. */
static __always_inline __u32 cookie_make(const struct packet *p,
					 const struct setting *s,
					 const struct service *svc)
{
	__u32 base = cookie_base(p, &s->keys[s->current & 1]);

	return salted(base, svc, svc->current);
}

/*
 * The last offset that there is. What is made of the client's own words is no
 * longer than a segment, but may be longer than the page.
 */
static __always_inline __u32 page_reach(const struct page *page)
{
	return page->length + 1 +
	       (page->speech >= SPEECH_LDAP ? SEGMENT_MAX : 0);
}

/*
 * Reads what an acknowledgement says, and returns the page that it is about, or
 * NULL where it is no acknowledgement of ours. Variants have lengths of their
 * own: see paced.h.
 */
static __always_inline const struct page *cookie_read(const struct packet *p,
						      const struct setting *s,
						      const struct service *svc,
						      struct cookie *c)
{
	const struct page *page;
	__u32 diff, g;

	for (int i = 0; i < 2; i++) {
		__u32 base = cookie_base(p, &s->keys[(s->current + i) & 1]);

		for (int j = 0; j < 2; j++) {
			g = svc->current + j;
			diff = p->ack - 1 - salted(base, svc, g);
			if (!(diff >> 18) && svc->page[g & 1])
				goto found;
		}
	}
	return NULL;

found:
	c->class = diff >> 16 & 3;
	c->offset = diff & 0xffff;
	c->page = svc->page[g & 1];
	page = page_at(c->page);
	return page && (page->variants || c->offset <= page_reach(page)) ?
		       page :
		       NULL;
}

#endif
