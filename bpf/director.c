//go:build ignore

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * The director: forwards what comes to a service to its real servers, and
 * answers the clients of a service that has none left. XDP does what is plain;
 * tc does what XDP has no room or no means for, and all of it elsewhere.
 */

#include "answer.h"
#include "choose.h"
#include "datagram.h"
#include "forward.h"
#include "judge.h"
#include "probe.h"
#include "pulse.h"
#include "service.h"
#include "speech.h"
#include "tables.h"
#include "transport.h"

/*
 * Each step is a global function, which the verifier walks through once and by
 * itself: inlined, every path through one would go on through all the rest. The
 * barrier keeps clang from passing nothing where a step has no use for ctx.
 */
#define STEP(name, given, call, ...)                                        \
	__noinline enum verdict name##_xdp(struct xdp_md *ctx,              \
					   struct packet *p, ##__VA_ARGS__) \
	{                                                                   \
		const struct frame frame = { .ctx = ctx, .xdp = true };     \
		const struct frame *f = &frame;                             \
                                                                            \
		barrier_var(ctx);                                           \
		return p && given ? call : PASS_MALFORMED;                  \
	}                                                                   \
                                                                            \
	__noinline enum verdict name##_tc(struct __sk_buff *ctx,            \
					  struct packet *p, ##__VA_ARGS__)  \
	{                                                                   \
		const struct frame frame = { .ctx = ctx, .xdp = false };    \
		const struct frame *f = &frame;                             \
                                                                            \
		barrier_var(ctx);                                           \
		return p && given ? call : PASS_MALFORMED;                  \
	}

#define DO(step, f, ...)                                \
	((f)->xdp ? step##_xdp((f)->ctx, __VA_ARGS__) : \
		    step##_tc((f)->ctx, __VA_ARGS__))

STEP(extensions, true, parse_extensions(f, p))

/* Returns PARSED, or the verdict on a packet that is none of ours. */
static __always_inline enum verdict parse(const struct frame *f,
					  struct packet *p)
{
	enum verdict v = parse_network(f, p);

	if (v == PARSED && p->v6 && is_extension(p->protocol))
		v = DO(extensions, f, p);
	if (v == PARSED && p->part != PART_LATER)
		v = parse_transport(f, p);
	return v;
}

STEP(judge, svc &&r, judge(f, p, svc, r, mode), const struct service *svc,
     struct reply *r, enum service_mode mode)
STEP(judge_new, svc &&r, judge_new(f, p, svc, r, mode),
     const struct service *svc, struct reply *r, enum service_mode mode)
STEP(paced, svc &&r, paced(f, p, svc, r, mode), const struct service *svc,
     struct reply *r, enum service_mode mode)
STEP(speak, r, speak(f, p, r), struct reply *r)
STEP(datagram, true, on_datagram(f, p, page), __u32 page)
STEP(answer, r, answer(f, p, r, v), const struct reply *r, enum verdict v)
STEP(deliver, w, deliver(f, p, w, v), struct way *w, enum verdict v)
STEP(back, w, nat_back(f, p, w), struct way *w)
STEP(checked, w, probe_answer(f, p, w), struct way *w)
STEP(later, w, fragment_later(f, p, w), struct way *w)
STEP(error, w, icmp_error(f, p, w), struct way *w)
STEP(requote, true, requote(f, p))
STEP(expired, true, icmp_expired(f, p))
STEP(no_port, true, icmp_no_port(f, p))
STEP(too_big, true, icmp_too_big(f, p, mtu), __u32 mtu)

/* Sends all segments of a burst but the last, which the frame then is. */
static __always_inline enum verdict
burst(const struct frame *f, struct packet *p, struct reply *r, enum verdict v)
{
	for (int i = 0; i < BURST_MAX; i++) {
		bool last = burst_last(r);

		if (answer_tc(f->ctx, p, r, v) != v)
			return DROP_ERROR;
		if (last)
			return v;
		/* What does not get away is lost, as on any way. */
		bpf_clone_redirect(f->ctx, frame_interface(f), 0);
		burst_next(p, r);
	}
	return v;
}

STEP(burst, r, burst(f, p, r, v), struct reply *r, enum verdict v)

/*
 * Delivers the packet to the way's server. Where it has not got there yet, the
 * flow is still to begin.
 */
static __always_inline enum verdict
send(const struct frame *f, struct packet *p, struct way *w, enum verdict v)
{
	__u32 bytes = frame_length(f);

	v = DO(deliver, f, p, w, v);
	if ((v >= FORWARD_FLOW && v <= FORWARD_PROBE) ||
	    (v == PASS_LOCAL && !f->xdp))
		tally(w, bytes);
	else if (w->opens &&
		 (v == PASS_DEFERRED || v == PASS_LOCAL || v == ANSWER_EXPIRED))
		flow_defer(p, w);
	return v;
}

/*
 * A packet to a service that is to have it: unforwarded is the verdict where
 * forwarding is left to others.
 */
static __always_inline enum verdict forward(const struct frame *f,
					    struct packet *p, struct way *w,
					    struct reply *r,
					    enum verdict unforwarded)
{
	const struct forward *fwd = bpf_map_lookup_elem(&forwards, &w->service);
	enum verdict v;

	if (!fwd || (!fwd->slots && !fwd->service.protocol))
		return unforwarded;
	if (f->xdp && (p->part != PART_WHOLE || p->hops <= 1))
		return PASS_DEFERRED;
	w->now = bpf_ktime_get_coarse_ns();
	v = choose(p, w, r);
	if (v != FORWARD_FLOW && v != FORWARD_OPEN)
		return v;
	if (p->part == PART_FIRST)
		fragment_note(p, w, false);
	return send(f, p, w, v);
}

/* A packet with ports to no service: an answer, or of no concern. */
static __always_inline enum verdict answered(const struct frame *f,
					     struct packet *p, struct way *w)
{
	enum verdict v;

	if (f->xdp && p->part != PART_WHOLE)
		return PASS_NO_SERVICE;
	v = trail(p, w);
	if (v == PARSED && p->part == PART_FIRST)
		fragment_note(p, w, true);
	if (v == PARSED)
		v = DO(back, f, p, w);
	if (v == PASS_NO_SERVICE && !f->xdp)
		v = checked_tc(f->ctx, p, w);
	return v;
}

/* A packet with ports. */
static __always_inline enum verdict
serve(const struct frame *f, struct packet *p, struct way *w, struct reply *r)
{
	const struct service *svc = service_of(p);
	enum verdict v = PASS_SERVED;
	enum service_mode mode;

	if (!svc)
		return answered(f, p, w);
	w->service = svc->id;
	mode = mode_of(svc);
	if (mode != MODE_SERVE)
		v = is_new(p) ? DO(judge_new, f, p, svc, r, mode) :
				DO(judge, f, p, svc, r, mode);
	if (v == SPEAK)
		v = p->protocol == IPPROTO_TCP ? DO(speak, f, p, r) :
						 DO(datagram, f, p, r->page);
	if (v == PACED)
		v = DO(paced, f, p, svc, r, mode);
	/* Without a page flows that are known go on, and nothing is begun. */
	w->closed = v == PASS_NO_PAGE;
	if (v == PASS_SERVED || v == PASS_LINGER || v == PASS_ORPHAN ||
	    v == PASS_NO_PAGE)
		v = forward(f, p, w, r, v);
	return v;
}

/* An ICMP error: to the server of the flow that it concerns, or to its client. */
static __always_inline enum verdict error(const struct frame *f,
					  struct packet *p, struct way *w)
{
	enum verdict v = error_tc(f->ctx, p, w);

	if (v == PARSED) {
		v = send(f, p, w, FORWARD_ERROR);
		return v == FORWARD_ERROR && is_translated(w) ?
			       requote_tc(f->ctx, p) :
			       v;
	}
	if (v == PASS_NO_SERVICE && trail(p, w) == PARSED && w->server)
		v = back_tc(f->ctx, p, w);
	if (v == FORWARD_BACK || v == FORWARD_PROBE)
		return requote_tc(f->ctx, p);
	if (v != PASS_NO_SERVICE)
		return v;
	w->service = 0;
	return PASS_PROTOCOL;
}

/* What has no ports, or is an error: XDP leaves it to tc, which counts it. */
static __always_inline enum verdict portless(const struct frame *f,
					     struct packet *p, struct way *w)
{
	enum verdict v = PASS_PROTOCOL;

	if (f->xdp)
		return p->part == PART_LATER ? PASS_FRAGMENT : PASS_PROTOCOL;
	w->now = bpf_ktime_get_coarse_ns();
	if (p->part == PART_WHOLE)
		v = error(f, p, w);
	else if (p->part == PART_LATER)
		v = later_tc(f->ctx, p, w);
	if (v == PARSED)
		v = send(f, p, w, FORWARD_FLOW);
	/* Neither is answered with an error: RFC 1122, 3.2.2; RFC 4443, 2.4. */
	return v == ANSWER_EXPIRED || v == ANSWER_TOO_BIG ? DROP_NO_ROUTE : v;
}

static __always_inline int direct(const struct frame *f)
{
	__u32 bytes = frame_length(f);
	struct packet p = {};
	struct reply r = {};
	struct way w = {};
	enum verdict v;

	v = parse(f, &p);
	if (v == PARSED) {
		if (p.part == PART_LATER ||
		    (p.protocol != IPPROTO_TCP && p.protocol != IPPROTO_UDP))
			v = portless(f, &p, &w);
		else
			v = serve(f, &p, &w, &r);
	}
	if (!f->xdp && r.end)
		v = burst_tc(f->ctx, &p, &r, v);
	else if (r.flags)
		v = DO(answer, f, &p, &r, v);
	else if (!f->xdp && v == ANSWER_EXPIRED)
		v = expired_tc(f->ctx, &p);
	else if (!f->xdp && v == ANSWER_UNREACHABLE)
		v = no_port_tc(f->ctx, &p);
	else if (!f->xdp && v == ANSWER_TOO_BIG)
		v = too_big_tc(f->ctx, &p, w.route.mtu);
	/* What XDP passes comes by tc, and is counted there. */
	if (!f->xdp || v >= PASS_DEFERRED)
		count(w.service, v, bytes);
	if (v <= PASS_DEFERRED)
		return frame_pass(f);
	if (v < FORWARD_FLOW)
		return frame_send(f);
	return v < DROP_ACK ? p.action : frame_drop(f);
}

SEC("xdp")
int maitred_xdp(struct xdp_md *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = true };

	return direct(&f);
}

/*
 * For interfaces whose frames are too large for one buffer: their drivers take no
 * program that has not said that it can do with a part. Such a frame is tc's, and all
 * that comes of maitred_xdp sees frames that are whole.
 */
SEC("xdp.frags")
int maitred_xdp_frags(struct xdp_md *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = true };
	__u32 bytes = bpf_xdp_get_buff_len(ctx);

	if (bytes == frame_length(&f))
		return direct(&f);
	count(0, PASS_DEFERRED, bytes);
	return frame_pass(&f);
}

SEC("tc")
int maitred_tc(struct __sk_buff *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = false };

	return direct(&f);
}

/*
 * On the way out of the loopback interface. What a check sends goes to the
 * server that it asks or nowhere: anyone else's answer would speak for that one.
 */
SEC("tc")
int maitred_probe(struct __sk_buff *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = false };
	const struct service *svc = NULL;
	__u32 bytes = frame_length(&f);
	struct packet p = {};
	struct reply r = {};
	struct way w = { .server = asked_server(&f) };
	enum verdict v;

	if (!w.server)
		return frame_pass(&f);
	v = parse(&f, &p);
	if (v == PARSED && p.part == PART_WHOLE)
		svc = service_of(&p);
	if (!svc)
		return frame_drop(&f);
	w.service = svc->id;
	w.now = bpf_ktime_get_coarse_ns();
	v = choose(&p, &w, &r);
	if (v == FORWARD_FLOW || v == FORWARD_OPEN)
		v = send(&f, &p, &w, FORWARD_PROBE);
	if (v != FORWARD_PROBE && v != PASS_LOCAL && v < DROP_ACK)
		v = DROP_NO_ROUTE;
	count(w.service, v, bytes);
	if (v == PASS_LOCAL)
		return frame_pass(&f);
	return v == FORWARD_PROBE ? p.action : frame_drop(&f);
}

/*
 * On no interface: the daemon runs it with a frame that says how soon it will do so
 * again.
 */
SEC("tc")
int maitred_pulse(struct __sk_buff *ctx)
{
	__u32 zero = 0;
	struct heartbeat *p = bpf_map_lookup_elem(&pulse, &zero);
	__u64 after;

	if (!p || bpf_skb_load_bytes(ctx, ETH_HLEN, &after, sizeof(after)))
		return -EINVAL;
	return beat(p, after);
}

/* The GPL half of the licence: some helpers are for such programs alone. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
