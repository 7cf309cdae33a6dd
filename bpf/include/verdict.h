/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef MAITRED_VERDICT_H
#define MAITRED_VERDICT_H

/*
 * Every way that a packet leaves the programs has a name here, and an operator
 * reads it as a counter. The first part of a name is what was done with the
 * packet, the second why.
 */
enum verdict {
	PASS_NOT_IP,
	PASS_MALFORMED,
	PASS_GROUP, /* to a broadcast or multicast address of the link */
	PASS_NOT_TCP,
	PASS_FRAGMENT, /* not the first: its port is unknown */
	PASS_NO_SERVICE,
	PASS_SERVED,
	PASS_LINGER, /* the service is back and the packet is of no exchange */
	PASS_ORPHAN,
	PASS_NO_PAGE,
	PASS_DEFERRED, /* XDP had no room for the answer: tc gives it */

	ANSWER_SYN,
	ANSWER_SEGMENT,
	ANSWER_LAST, /* the segment with the FIN */
	ANSWER_HEAD,
	ANSWER_ACK, /* data or a FIN after the end of the page */
	ANSWER_CLOSE, /* a FIN with no request seen: the header, no FIN yet */
	ANSWER_RESET, /* an orphan */

	DROP_ACK, /* the end of a handshake, or nothing to say to it */
	DROP_DONE, /* the client has it all */
	DROP_RESET, /* the client has hung up */
	DROP_WINDOW, /* the client has no room now and will say when */
	DROP_ORPHAN,
	DROP_FLAGS, /* neither SYN nor ACK, or both SYN and FIN */
	DROP_FRAGMENT,
	DROP_LIMIT, /* too many resets */
	DROP_ERROR, /* the kernel refused to reshape the packet */

	VERDICT_COUNT, /* below VERDICT_ROOM */
};

#endif
