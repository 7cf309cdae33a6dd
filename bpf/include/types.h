/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_TYPES_H
#define MAITRED_TYPES_H

/*
 * Every struct that the programs share with Go. The Go side is generated from
 * here (bpf2go -type), so that there is one definition of each. Padding is
 * explicit: a key with a hole would never be found again.
 */

#include <linux/types.h>

#pragma clang diagnostic push
#pragma clang diagnostic error "-Wpadded"

/* IPv4 addresses are kept as IPv4-mapped IPv6 ones (RFC 4291, 2.5.5.2). */
struct service_key {
	__be32 address[4];
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

enum service_mode {
	MODE_SERVE, /* pass to forwarding */
	MODE_SORRY, /* answer with the page */
	MODE_LINGER, /* finish exchanges of the page, pass the rest */
};

enum orphan_fate {
	ORPHAN_RESET, /* the client reconnects and sees the page at once */
	ORPHAN_PASS, /* its real server may still be there */
	ORPHAN_DROP,
};

struct service {
	__u32 id; /* its row of counters; 0 is nobody's */
	enum service_mode mode;
	enum orphan_fate orphans;
	__u32 current; /* which of the two pages new exchanges get */
	__u32 page[2]; /* slots in pages; 0 is no page */
	__u32 salt[2]; /* of each page, by its bytes: see cookie.h */
};

/*
 * The offset of any byte of the page, and of the FIN behind its last, must fit
 * the 16 bits that the cookie has for it.
 */
#define PAGE_MAX 65534
#define SUMS_MAX 32768
/*
 * Room behind the last byte, so that a length that the verifier knows to be
 * below 2048 may start at any offset below 65536.
 */
#define PAGE_ROOM (65536 + 2048)

struct page {
	__u64 digest;
	__u32 length; /* of header and body, in bytes */
	__u32 head; /* of the header alone */
	__u32 sums[SUMS_MAX]; /* sums[i]: plain sum of the first i words */
	__u8 bytes[PAGE_ROOM];
};

/* What user space finds again which page is where by, after a restart. */
struct page_entry {
	__u64 digest;
	__u32 length;
	__u32 head;
};

/* The secret of the cookies. Two are valid at a time, so that it can change. */
struct cookie_key {
	__u64 k0;
	__u64 k1;
};

struct setting {
	struct cookie_key keys[2];
	__u32 current; /* which key new cookies are made with: 0 or 1 */
	__u32 reset_limit; /* resets a CPU may send in RESET_WINDOW_NS */
};

struct counter {
	__u64 packets;
	__u64 bytes; /* of the frame as it came in */
};

/* How many resets this CPU has sent in the running window of time. */
struct reset_budget {
	__u64 window; /* number of the window since boot */
	__u32 used;
	__u32 pad;
};

#define ASSERT_SIZE(type, size) \
	_Static_assert(sizeof(struct type) == (size), #type " has a hole")

ASSERT_SIZE(service_key, 20);
ASSERT_SIZE(service, 32);
ASSERT_SIZE(page, 16 + 4 * SUMS_MAX + PAGE_ROOM);
ASSERT_SIZE(page_entry, 16);
ASSERT_SIZE(setting, 40);
ASSERT_SIZE(counter, 16);
ASSERT_SIZE(reset_budget, 16);

#pragma clang diagnostic pop

#endif
