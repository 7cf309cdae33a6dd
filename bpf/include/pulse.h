/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_PULSE_H
#define MAITRED_PULSE_H

#include <linux/errno.h>
#include <linux/time.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>

#include "types.h"

/*
 * What becomes of a service whose daemon is gone. It runs maitred_pulse now and
 * then, which winds up a timer; one that has run down notes that nobody was there
 * to do so. To look at a clock for each packet would cost 37 ns; this costs a packet
 * nothing, unless its service wants something done.
 *
 * The kernel keeps the timer, and the program that it calls, for as long as the map
 * is pinned, whatever becomes of the process (bpf_timer_set_callback and
 * array_map_free_timers_wq, Linux 5.15 to 6.18).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct heartbeat);
	__uint(max_entries, 1);
} pulse SEC(".maps");

/* A timer that was wound up again while it ran down says nothing. */
static int run_down(void *map, __u32 *key, struct heartbeat *p)
{
	(void)map;
	(void)key;
	if (bpf_ktime_get_ns() >= p->until)
		p->absent = 1;
	return 0;
}

/*
 * The daemon is there, and will be heard of again within so many nanoseconds; 0: it
 * will not, and that is no matter. Returns 0 or a negative error.
 */
static __always_inline long beat(struct heartbeat *p, __u64 after)
{
	long err = bpf_timer_init(&p->timer, &pulse, CLOCK_MONOTONIC);

	if (err && err != -EBUSY) /* it was, by the first beat */
		return err;
	if (after) {
		p->until = bpf_ktime_get_ns() + after;
		/* Anew each time: the program may be of another build now. */
		err = bpf_timer_set_callback(&p->timer, run_down);
		if (!err)
			err = bpf_timer_start(&p->timer, after, 0);
	} else {
		p->until = ~0ULL;
		err = bpf_timer_cancel(&p->timer);
	}
	if (err < 0)
		return err;
	p->absent = 0;
	return 0;
}

/*
 * The mode of a service that wants something done in its daemon's absence. Who says
 * sorry and is to pass lingers: exchanges of the page come to their end.
 */
__noinline enum service_mode mode_in_absence(const struct service *svc)
{
	__u32 zero = 0;
	const struct heartbeat *p = bpf_map_lookup_elem(&pulse, &zero);

	if (!svc)
		return MODE_SERVE;
	if (!p || !p->absent)
		return svc->mode;
	switch (svc->absence) {
	case ABSENCE_KEEP:
		break;
	case ABSENCE_PASS:
		if (svc->mode == MODE_SORRY || svc->mode == MODE_SHED)
			return MODE_LINGER;
		break;
	case ABSENCE_SORRY:
		if (svc->page[svc->current & 1])
			return MODE_SORRY;
		break;
	}
	return svc->mode;
}

/* The mode that holds now. */
static __always_inline enum service_mode mode_of(const struct service *svc)
{
	return svc->absence == ABSENCE_KEEP ? svc->mode : mode_in_absence(svc);
}

#endif
