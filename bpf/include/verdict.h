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
	PASS_MALFORMED, /* or of a source that there can't be: the kernel drops it */
	PASS_GROUP, /* to a broadcast or multicast address of the link */
	PASS_PROTOCOL, /* neither TCP nor UDP, nor an error that concerns a flow */
	PASS_FRAGMENT, /* not the first, and that one did not come by here */
	PASS_NO_SERVICE,
	PASS_SERVED, /* others forward the service */
	PASS_LINGER, /* of no exchange of the page, and the real servers are there */
	PASS_ORPHAN,
	PASS_NO_PAGE,
	PASS_NO_SERVER, /* none is up: the kernel refuses the client */
	PASS_LOCAL, /* to a sorry server on this machine */
	PASS_DEFERRED, /* tc does what XDP has no room or no means for */

	ANSWER_SYN,
	ANSWER_SEGMENT,
	ANSWER_LAST, /* the segment with the FIN */
	ANSWER_HEAD,
	ANSWER_ACK, /* data or a FIN after the end of the page */
	ANSWER_TURN, /* to what a protocol asks before the question itself */
	ANSWER_DATAGRAM, /* of UDP, in the words of its protocol */
	ANSWER_UNREACHABLE, /* of UDP: ICMP tells the client */
	ANSWER_CLOSE, /* a FIN with no request seen: the header, no FIN yet */
	ANSWER_RESET, /* an orphan, or a flow whose server is down */
	ANSWER_TOO_BIG, /* for the way to the server: ICMP tells the client */
	ANSWER_EXPIRED, /* its time to live: ICMP tells the client */

	FORWARD_FLOW, /* a packet of a flow that is known */
	FORWARD_OPEN, /* the first packet of one, or one of a flow not known */
	FORWARD_BACK, /* a server's answer, to the client */
	FORWARD_ERROR, /* an ICMP error that concerns a flow, to its server or client */
	FORWARD_PROBE, /* a health check on the way of the data */

	DROP_ACK, /* the end of a handshake, or what it asks for is on its way */
	DROP_DONE, /* the client has it all */
	DROP_RESET, /* the client has hung up */
	DROP_WINDOW, /* the client has no room now and will say when */
	DROP_ORPHAN,
	DROP_PARTIAL, /* too little of a message or request to tell the answer */
	DROP_FLAGS, /* neither SYN nor ACK, or both SYN and FIN; of DNS, a response */
	DROP_FRAGMENT,
	DROP_LIMIT, /* too many resets and errors, or nobody to send one to */
	DROP_ERROR, /* the packet could not be reshaped */
	DROP_NO_ROUTE, /* to the server */
	DROP_NO_PORT, /* full NAT has none left */

	VERDICT_COUNT, /* below VERDICT_ROOM */
};

#endif
