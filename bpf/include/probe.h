/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PROBE_H
#define MAITRED_PROBE_H

#include "route.h"
#include "send.h"
#include "service.h"

/*
 * Checks that take the way of the data. A check sends to a service's address,
 * which is this host's own, with a mark that names a server: its packets leave by
 * the loopback interface, where maitred_probe finds them.
 */

/* The row of the server that a check's packet asks; 0 for any other packet. */
static __always_inline __u32 asked_server(const struct frame *f)
{
	__u32 mark = ((struct __sk_buff *)f->ctx)->mark;
	const __u32 *row = bpf_map_lookup_elem(&marks, &mark);

	return row ? *row : 0;
}

#define LOOPBACK 1 /* its index in every namespace */

/*
 * tc: puts an answer into the loopback interface, from where the kernel takes a
 * packet that has an address of its own for a source (accept_local), if nothing
 * stands in its Ethernet header.
 */
static __always_inline enum verdict take_in(const struct frame *f,
					    struct packet *p)
{
	struct ethhdr *eth = frame_start(f);

	if ((void *)(eth + 1) > frame_end(f))
		return DROP_ERROR;
	__builtin_memset(eth->h_dest, 0, ETH_ALEN);
	p->action = bpf_redirect(LOOPBACK, BPF_F_INGRESS);
	return FORWARD_PROBE;
}

/*
 * tc: a packet to no service. The answer of a server that was reached by dr or tun
 * has a service for its source; where it is for this host it is a check's, and
 * the kernel would refuse it on any other interface.
 */
static __always_inline enum verdict
probe_answer(const struct frame *f, struct packet *p, struct way *w)
{
	struct endpoint from = { .port = p->sport, .protocol = p->protocol };
	__u32 zero = 0;
	const struct forward_setting *set =
		bpf_map_lookup_elem(&forwarding, &zero);
	const struct service *svc;
	long answer;

	/* On the loopback interface it is one that was put there. */
	if (!set || !set->probes || frame_interface(f) == LOOPBACK)
		return PASS_NO_SERVICE;
	__builtin_memcpy(from.address, p->saddr, sizeof(from.address));
	svc = bpf_map_lookup_elem(&services, &from);
	if (!svc)
		return PASS_NO_SERVICE;
	answer = find_way(f, p->saddr, p->daddr, w);
	if (answer != BPF_FIB_LKUP_RET_NOT_FWDED &&
	    answer != BPF_FIB_LKUP_RET_FWD_DISABLED)
		return PASS_NO_SERVICE;
	w->service = svc->id;
	w->route.interface = LOOPBACK;
	if (untag(f, p, w))
		return DROP_ERROR;
	return take_in(f, p);
}

#endif
