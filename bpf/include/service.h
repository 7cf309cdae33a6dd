/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_SERVICE_H
#define MAITRED_SERVICE_H

#include "maps.h"
#include "parse.h"

static __always_inline const struct service *service_of(const struct packet *p)
{
	struct endpoint key = {
		.port = p->dport,
		.protocol = p->protocol,
	};

	__builtin_memcpy(key.address, p->daddr, sizeof(key.address));
	return bpf_map_lookup_elem(&services, &key);
}

#endif
