/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_TYPES_H
#define MAITRED_TYPES_H

/*
 * Every struct that the programs share with Go. The Go side is generated from
 * here (bpf2go -type), so that there is one definition of each. Padding is
 * explicit: a key with a hole would never be found again.
 */

#include <linux/bpf.h>
#include <linux/types.h>

#pragma clang diagnostic push
#pragma clang diagnostic error "-Wpadded"

/*
 * Where a transport ends: a virtual service, or a real server. IPv4 addresses
 * are kept as IPv4-mapped IPv6 ones (RFC 4291, 2.5.5.2).
 */
struct endpoint {
	__be32 address[4];
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

enum service_mode {
	MODE_SERVE, /* pass to forwarding */
	MODE_SORRY, /* answer with the page */
	MODE_LINGER, /* finish exchanges of the page, pass the rest */
	MODE_SHED, /* as linger, and answer a part of the new connections */
};

enum orphan_fate {
	ORPHAN_RESET, /* the client reconnects and sees the page at once */
	ORPHAN_PASS, /* its real server may still be there */
	ORPHAN_DROP,
};

/* What a service does when the daemon has not been heard of: see pulse.h. */
enum absence {
	ABSENCE_KEEP, /* what was decided last */
	ABSENCE_PASS, /* whoever says sorry passes to forwarding */
	ABSENCE_SORRY, /* whoever has a page answers with it */
};

struct service {
	__u32 id; /* its row of counters; 0 is nobody's */
	enum service_mode mode;
	enum orphan_fate orphans;
	__u32 current; /* which of the two pages new exchanges get */
	__u32 page[2]; /* slots in pages; 0 is no page */
	__u32 salt[2]; /* of each page, by its bytes: see cookie.h */
	__u32 shed; /* MODE_SHED: how many of 2^32 new connections get the page */
	enum absence absence;
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

/* When a page is sent, and what of the client's bytes goes into it: speech.h. */
enum speech {
	SPEECH_HTTP, /* at the first bytes; HEAD gets the header alone */
	SPEECH_ANY, /* at the first byte, whatever it is */
	SPEECH_GREETING, /* before the client has said anything */
	SPEECH_POSTGRES, /* N to a wish for encryption; then the error */
	SPEECH_HTTP2, /* the head at the preface, the rest at a request */
	SPEECH_LDAP, /* with the number and kind of the request */
	SPEECH_DNS, /* the question itself, with SERVFAIL; over UDP, too */
	SPEECH_UNREACHABLE, /* UDP: an ICMP error */
};

/* How a body is coded (RFC 9110, 8.4.1). */
enum coding {
	CODING_NONE,
	CODING_GZIP,
	CODING_BROTLI,
} __attribute__((packed)); /* one byte */

/* What a client's first bytes must be for a variant. */
enum opening {
	OPENING_HTTP, /* a method */
	OPENING_TLS, /* a ClientHello */
} __attribute__((packed));

/*
 * Another page that is sent in place of this one to whom it suits better: the
 * first that does is taken. An exchange of variant v, which is 1 for the first,
 * has its segments end at offsets that are v modulo VARIANT_GRID.
 */
struct variant {
	__u64 host; /* digest of the name: maps.HostDigest; 0: any */
	__u32 slot; /* in pages */
	__u16 length; /* of that page */
	__u16 head;
	enum coding coding;
	enum opening opening;
	__u8 pad[6];
};

#define VARIANT_GRID 32
#define VARIANTS_MAX (VARIANT_GRID - 1)
#define BURST_MAX 10 /* RFC 6928 */

struct page {
	__u64 digest;
	__u32 length; /* of header and body, in bytes */
	__u32 head; /* of the header alone */
	enum speech speech;
	__u32 burst; /* segments that an acknowledgement brings; 1 to BURST_MAX */
	__u32 variants; /* how many there are; those for TLS come last */
	__u32 alike; /* VARIANT_GRID: what all may begin with; 0: nothing */
	struct variant variant[VARIANTS_MAX];
	__u32 sums[SUMS_MAX]; /* sums[i]: plain sum of the first i words */
	__u8 bytes[PAGE_ROOM];
};

/* What user space finds again which page is where by, after a restart. */
struct page_entry {
	__u64 digest;
	__u32 length;
	__u32 head;
	__u32 of; /* the slot of the page that it is a variant of; 0: of none, ~0: of all */
	__u32 pad;
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

/* Whether the daemon is there. */
struct heartbeat {
	struct bpf_timer timer;
	__u64 until; /* when it is to be heard of again: nanoseconds since boot */
	__u32 absent; /* 1: it was not */
	__u32 pad;
};

struct counter {
	__u64 packets;
	__u64 bytes; /* of the frame as it came in */
};

/* How much of something this CPU has done in the running window of time. */
struct budget {
	__u64 window; /* number of the window since boot */
	__u32 used;
	__u32 pad;
};

/* Forwarding. How a packet reaches a real server. */
enum method {
	METHOD_DR, /* by the MAC address of the next hop */
	METHOD_TUN, /* in an outer header */
	METHOD_NAT, /* with the server's address; it answers by the director */
	METHOD_FULLNAT, /* and from the director's own address */
	METHOD_LOCAL, /* this machine itself: the stack gets it as it is */
};

enum tunnel {
	TUNNEL_IPIP, /* RFC 2003, RFC 2473, and the mixed forms */
	TUNNEL_GUE, /* draft-ietf-intarea-gue, variant 0 */
};

enum server_state {
	SERVER_NONE, /* nobody's row */
	SERVER_UP,
	SERVER_DRAIN, /* keeps its flows and gets no new ones */
	SERVER_DOWN, /* its flows meet the fate that their service says */
};

/* A real server of a pool, reached by one method. */
struct server {
	__be32 address[4];
	__be32 source[4]; /* of the outer header */
	__be32 gateway[4]; /* next hop, and */
	__u32 interface; /* the way to it, for when the kernel's table has none */
	__u32 mtu; /* of the way, in bytes of an IP packet; 0: as the route says */
	__u64 pool; /* whose it is: a digest that only user space reads */
	enum server_state state;
	enum method method;
	enum tunnel tunnel;
	__be16 port; /* 0: the one that the client asked for */
	__be16 tunnel_port; /* of GUE */
};

enum spread {
	SPREAD_TURN, /* each new flow gets the next slot of the ring */
	SPREAD_ADDRESS, /* by the client's address */
	SPREAD_PORT, /* by the client's address and port */
};

/* What becomes of the flows of a server that is down, at their next packet. */
enum down_fate {
	DOWN_RESET, /* TCP: a reset to the client; else as repick */
	DOWN_REPICK, /* another server */
	DOWN_KEEP, /* they go on to the server */
};

/* How a service is forwarded; by the id of its row. */
struct forward {
	__u64 digest; /* of the ring: user space knows it again by that */
	struct endpoint service; /* what clients call it, for the way back */
	__u32 slots; /* of the ring; 0: not forwarded here */
	enum spread spread;
	enum down_fate down;
};

/*
 * A ring holds rows of servers, so many in each of its map's values: none takes
 * less than 8 bytes.
 */
#define RING_PART 4

/* A flow is what a client's port sends to a service. */
struct flow_key {
	__be32 client[4];
	__be16 port;
	__u16 service; /* id of its row */
};

enum flow_state {
	FLOW_NEW, /* one packet was seen, so far */
	FLOW_OPEN,
	FLOW_FIN, /* an end has said that it sends no more */
	FLOW_RESET,
	FLOW_UDP,
	FLOW_PICKED, /* its first packet is still to come: from XDP by tc, mostly */
} __attribute__((packed)); /* one byte */

/*
 * 8 bytes, so that a flow costs 96 in all: 16 of bucket, 48 of the element's
 * head, 24 of key (kernel/bpf/hashtab.c, Linux 6.1 to 6.18, 64 bits).
 */
struct flow {
	__u16 server; /* its row */
	__be16 port; /* full NAT: the director's */
	__u16 seen; /* seconds since boot, modulo 65536 */
	enum flow_state state;
	__u8 source; /* full NAT: which of the director's addresses */
};

/* Full NAT's way back: which flow has that port of the director's. */
struct binding_key {
	struct endpoint server; /* as the packets of the flow's answers name it */
	__be16 port;
	__u16 source; /* which of the director's addresses */
};

struct binding {
	struct flow_key flow;
	__u32 pad;
};

/* NAT's way back: the services that have flows to a server's address and port. */
#define BACK_MAX 16

struct back {
	__u32 count;
	__u16 service[BACK_MAX]; /* ids of their rows */
};

/* Where the later fragments of a datagram go: by what its first was given. */
struct fragment_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__u32 id;
	__u8 protocol;
	__u8 pad[3];
};

struct fragment_way {
	struct flow_key flow;
	__u16 server; /* its row */
	__u8 back; /* from a server to a client */
	__u8 source; /* full NAT: which of the director's addresses */
	__u32 until; /* seconds since boot */
};

/*
 * The way to a server as the kernel's tables gave it, kept by each CPU for
 * ROUTE_NS: bpf_fib_lookup costs more than all the rest of a packet.
 */
struct route {
	__u64 until; /* nanoseconds since boot */
	__u32 interface; /* 0: there is none, ask again */
	__u32 mtu; /* in bytes of an IP packet */
	__u8 target[6]; /* MAC addresses */
	__u8 source[6];
	__u32 xdp; /* 1: the interface sends what XDP redirects to it */
};

/* A tunnel by its ends: those of its outer header. */
struct path {
	__be32 source[4];
	__be32 server[4];
};

/* What a router on the way has let know. */
struct path_mtu {
	__u32 mtu; /* in bytes of an IP packet */
	__u32 until; /* seconds since boot */
};

/* What user space knows of an interface; by its index. */
struct device {
	__u32 xdp; /* 1: it sends what XDP redirects to it */
};

/* Full NAT's addresses: IPv4 in the first half. */
#define SOURCES_MAX 32

/* The settings of forwarding. */
struct forward_setting {
	__be32 source[SOURCES_MAX][4];
	__u32 sources4; /* how many of the first half are there */
	__u32 sources6;
	__u16 port_first; /* full NAT's, in host order */
	__u16 port_last;
	__u32 tcp_timeout; /* of an idle flow, in seconds */
	__u32 fin_timeout;
	__u32 udp_timeout;
	__u32 fresh_limit; /* flows that a CPU may note in FRESH_WINDOW_NS */
	__u32 probes; /* 1: checks take the way of the data */
};

/* What a server got and gave; by its row. */
struct tally {
	__u64 packets;
	__u64 bytes; /* of the frame as it came in */
	__u64 flows; /* new ones */
	__u64 back_packets; /* NAT alone sees what follows */
	__u64 back_bytes;
	__u64 opened; /* SYN-ACKs */
	__u64 refused; /* resets in answer to a SYN */
	__u64 lost; /* flows that a failure of the server has ended or moved */
};

#define ASSERT_SIZE(type, size) \
	_Static_assert(sizeof(struct type) == (size), #type " has a hole")

ASSERT_SIZE(endpoint, 20);
ASSERT_SIZE(service, 40);
ASSERT_SIZE(variant, 24);
ASSERT_SIZE(page, 32 + 24 * VARIANTS_MAX + 4 * SUMS_MAX + PAGE_ROOM);
ASSERT_SIZE(page_entry, 24);
ASSERT_SIZE(setting, 40);
ASSERT_SIZE(heartbeat, 32);
ASSERT_SIZE(counter, 16);
ASSERT_SIZE(budget, 16);
ASSERT_SIZE(server, 80);
ASSERT_SIZE(forward, 40);
ASSERT_SIZE(flow_key, 20);
ASSERT_SIZE(flow, 8);
ASSERT_SIZE(binding_key, 24);
ASSERT_SIZE(binding, 24);
ASSERT_SIZE(back, 36);
ASSERT_SIZE(fragment_key, 40);
ASSERT_SIZE(fragment_way, 28);
ASSERT_SIZE(route, 32);
ASSERT_SIZE(path, 32);
ASSERT_SIZE(path_mtu, 8);
ASSERT_SIZE(device, 4);
ASSERT_SIZE(forward_setting, 16 * SOURCES_MAX + 32);
ASSERT_SIZE(tally, 64);

#pragma clang diagnostic pop

#endif
