/* SPDX-License-Identifier: Apache-2.0 */
/* A module that does whatever is wrong, by its setting do=. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "maitred_module.h"

static volatile int zero;

static void flood(void)
{
	int i;

	for (i = 0; i < 100000; i++)
		puts("a line that nobody wants, and another one, and another one");
	fflush(stdout);
}

static int check(const struct maitred_call *call, struct maitred_result *result)
{
	const char *what = maitred_arg(call, "do", "pass");
	volatile int spin = 1;

	result->weight = atoi(maitred_arg(call, "weight", "0"));
	if (!strcmp(what, "segv"))
		return *(volatile int *)(uintptr_t)zero;
	if (!strcmp(what, "abort"))
		abort();
	if (!strcmp(what, "exit"))
		exit(0);
	if (!strcmp(what, "close"))
		close(4);
	if (!strcmp(what, "sleep"))
		sleep(1);
	if (!strcmp(what, "nap"))
		usleep(20000);
	while (!strcmp(what, "never"))
		pause(); /* Go's signals end one */
	if (!strcmp(what, "flood"))
		flood();
	if (!strcmp(what, "garbage") && write(4, "garbage that is no frame", 24) < 0)
		return MAITRED_FAIL;
	if (!strcmp(what, "state"))
		return 77;
	if (!strcmp(what, "long"))
		memset(result->message, 'x', sizeof(result->message));
	while (!strcmp(what, "loop") && spin)
		;
	while (!strcmp(what, "leak"))
		memset(malloc(1 << 20), 1, 1 << 20);
	if (!strcmp(what, "fail"))
		return maitred_say(result, MAITRED_FAIL, "down");
	if (!strcmp(what, "drain")) {
		result->hint = MAITRED_HINT_DRAIN;
		return MAITRED_DEGRADED;
	}
	if (!strcmp(what, "long"))
		return MAITRED_PASS;
	return maitred_say(result, MAITRED_PASS, "%s port %u, %u ms, as %d", call->address, call->port,
			   call->timeout_ms, (int)getuid());
}

MAITRED_MODULE("sick", 0, check, 0, 0)
