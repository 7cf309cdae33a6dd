/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_HTTP2_H
#define MAITRED_HTTP2_H

#include "say.h"

/*
 * HTTP/2 (RFC 9113) without TLS, and gRPC. Some clients send their request along
 * with the preface; others wait for the server's SETTINGS first, which are the
 * head of the page. The rest is the response on stream 1, which is the first that
 * a client may open. It comes when a HEADERS frame does.
 *
 * Only whole frames are acknowledged: what is sent again, or after that, begins
 * with a frame. What does not has been overtaken, or is no HTTP/2: all that there
 * is to be said is the page.
 */
#define HTTP2_PREFACE 24 /* bytes */
#define HTTP2_FRAMES 10 /* that are looked at in a segment */
#define HTTP2_FRAME_MAX 16384 /* bytes, as we ask for no more: 6.5.2 */

enum http2_type {
	HTTP2_DATA = 0,
	HTTP2_HEADERS = 1,
	HTTP2_CONTINUATION = 9,
};

struct http2_frame {
	__u8 length[3];
	__u8 type;
	__u8 flags;
	__u8 stream[4];
};

/* The first eight bytes are enough: "PRI * HT". */
static __always_inline bool is_preface(const struct frame *f,
				       const struct packet *p)
{
	__be64 word;

	return p->length >= HTTP2_PREFACE &&
	       !frame_load(f, p->payload, &word, sizeof(word)) &&
	       word == bpf_cpu_to_be64(0x505249202a204854ULL);
}

/*
 * Whether a request has begun, or what is none of the frames that come before one.
 * Otherwise whole is how many bytes the frames have that end here.
 */
static __always_inline bool http2_asks(const struct frame *f,
				       const struct packet *p, bool start,
				       __u32 *whole)
{
	__u32 at = start && is_preface(f, p) ? HTTP2_PREFACE : 0;
	struct http2_frame h;
	__u32 length;

	for (int i = 0; i < HTTP2_FRAMES; i++) {
		if (at + sizeof(h) > p->length ||
		    frame_load(f, p->payload + at, &h, sizeof(h)))
			break;
		length = h.length[0] << 16 | h.length[1] << 8 | h.length[2];
		if (h.type == HTTP2_HEADERS || h.type == HTTP2_DATA ||
		    h.type == HTTP2_CONTINUATION || length > HTTP2_FRAME_MAX)
			return true;
		if (at + sizeof(h) + length > p->length)
			break;
		at += sizeof(h) + length;
	}
	*whole = at;
	return !at;
}

static __always_inline enum verdict speak_http2(const struct frame *f,
						const struct packet *p,
						const struct page *page,
						struct reply *r)
{
	__u32 whole = 0;

	if (r->offset > page->head)
		return PARSED;
	if (!p->length)
		return on_silence(p, r);
	if (p->flags & TCP_FIN || http2_asks(f, p, r->offset == 0, &whole))
		return PARSED;
	return on_turn(p, r, page->head - r->offset, p->seq + whole);
}

#endif
