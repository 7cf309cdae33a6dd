/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_ICMP_H
#define MAITRED_ICMP_H

/* ICMP and ICMPv6, which tc alone does: XDP passes all of it on. */

#include "icmp_make.h"
#include "icmp_route.h"

#endif
