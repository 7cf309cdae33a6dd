/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SYN_H
#define MAITRED_SYN_H

#include "tcp.h"

/*
 * The largest segment that the client takes: its option of RFC 9293, 3.7.1, or
 * that section's default. Nearly always the option comes first, and is read by a
 * pointer, which for all of them would be too much for the verifier.
 */
#define OPTIONS_MAX 12

static __always_inline __u32 client_mss(const struct frame *f,
					const struct packet *p)
{
	__u32 at = p->l4 + sizeof(struct tcphdr);
	__u32 mss = p->v6 ? 1220 : 536;

	for (int i = 0; i < OPTIONS_MAX; i++) {
		__u8 option[4];

		/* Less than four bytes hold no such option. */
		if (at + 4 > p->payload || (i ? frame_load(f, at, option, 4) :
						frame_read(f, at, option, 4)))
			return mss;
		if (option[0] == OPTION_END)
			return mss;
		if (option[0] == OPTION_NOP) {
			at++;
			continue;
		}
		if (option[0] == OPTION_MSS && option[1] == 4)
			return (__u32)option[2] << 8 | option[3];
		if (option[0] == OPTION_MSS || option[1] < 2)
			return mss;
		at += option[1];
	}
	return mss;
}

/*
 * What the way to the client carries. IPv4 leaves it to routers to make
 * fragments. IPv6 tells the sender to send less, which one without state can't
 * heed: so it sends what every link carries (RFC 8200, 5), 1280 bytes.
 */
static __always_inline __u32 path_mss(const struct frame *f,
				      const struct packet *p)
{
	__u32 headers = sizeof(struct tcphdr) + sizeof(struct iphdr);
	__u32 mtu;

	if (p->v6)
		return 1220;
	mtu = frame_mtu(f, 0);
	return (mtu > headers ? mtu : 1500) - headers;
}

/*
 * A SYN-ACK has the one option that we need. It never is longer than the SYN,
 * so that a forged sender is not sent more than the forger sent. The cookie comes
 * before the options are read, each of which the verifier would follow through it.
 */
static __always_inline enum verdict
on_syn(const struct frame *f, const struct packet *p, const struct setting *s,
       const struct service *svc, struct reply *r)
{
	__u32 cookie = cookie_make(p, s, svc);
	__u32 path, mss;

	barrier_var(cookie);
	path = path_mss(f, p);
	mss = client_mss(f, p);
	r->seq = cookie | class_of(mss < path ? mss : path) << 16;
	r->ack = p->seq + 1;
	r->flags = TCP_SYN | TCP_ACK;
	if (p->payload >= p->l4 + sizeof(struct tcphdr) + 4)
		r->mss = path < SEGMENT_MAX ? path : SEGMENT_MAX;
	return ANSWER_SYN;
}

#endif
